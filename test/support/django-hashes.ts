/** Made by Django 4.2.30 with its default costs. */
export const djangoHashes = [
  {
    hasher: "pbkdf2_sha256",
    password: "correct horse battery",
    stored: "pbkdf2_sha256$600000$DOSvZV0NpiKH1gKvZJdS2D$Sg+98YwqQrzluJQwm/0njJZHyWWY5VDkXae39YXDxis=",
  },
  {
    hasher: "pbkdf2_sha256",
    password: "zażółć gęślą 🐎",
    stored: "pbkdf2_sha256$600000$1OS1wEo32HAHAWjl7T8L8j$fusBMZ4OpLp7lVkwtvWOzDOFA8Ozz9GrrrriiUg1WjQ=",
  },
  {
    hasher: "bcrypt_sha256",
    password: "correct horse battery",
    stored: "bcrypt_sha256$$2b$12$NVLqDB5JENxPF49yWFbDf.3ue8XYWrw7EMpTijVFFp9858FHe.JE.",
  },
  {
    hasher: "bcrypt_sha256",
    password: "zażółć gęślą 🐎",
    stored: "bcrypt_sha256$$2b$12$4Ns7hYpKUfQbzyfJsDm5Ve.EP57HU1t6LeciKuQc05UYR4VSfVx4u",
  },
  {
    hasher: "argon2",
    password: "correct horse battery",
    stored:
      "argon2$argon2id$v=19$m=102400,t=2,p=8$OTFkZTlZU3B1QmxrTVBibkFYTEJKSw$bAOqqiFsJB/2QXZVJf0A0VQg0slz0MrZTFJ+8ORGMiA",
  },
  {
    hasher: "argon2",
    password: "zażółć gęślą 🐎",
    stored:
      "argon2$argon2id$v=19$m=102400,t=2,p=8$cEMxcWFkZ0dRWTJqWkVKMXRGTW50Tw$KPutjrecqrT1iX+BXmhJohzjBB36f4kOEikHYF3jkzo",
  },
  {
    hasher: "scrypt",
    password: "correct horse battery",
    stored:
      "scrypt$16384$vurjdA6Hjzo748kUsxAD3B$8$1$DhAve9pJdo3535FVZNWsGm6qiMjp8Wb8HIoiVKYFByyfbDgFfnDxSuBrgRlvPzoJsqqXl1j6ZMUlmxXs09lKvg==",
  },
  {
    hasher: "scrypt",
    password: "zażółć gęślą 🐎",
    stored:
      "scrypt$16384$F1abSVWNlutD9Cf0TwsXJ3$8$1$2zZ2AZ4xaVK6d3URjmsfxwGrEFfQaTLA7ne/pmVzZ9ROW2OpBRmNHNv+9t3VST9lRC5JFaE1VpgmuKgK/68ROg==",
  },
] as const;
