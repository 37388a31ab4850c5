import { argon2Sync, createHash, pbkdf2Sync, scryptSync } from "node:crypto";
import { describe, expect, test } from "@jest/globals";
import bcrypt from "bcrypt";
import { decoyOf, isDjangoHash, verifyDjangoHashSync } from "../../../../services/auth/django-hashes.ts";
import { djangoHashes } from "../../../support/django-hashes.ts";

const verify = (stored: string, password: string): boolean =>
  verifyDjangoHashSync(stored, password, (text, hash) => bcrypt.compareSync(text, hash));

/** Hashes of cheap cost in Django's form, of the password "secret" unless said otherwise. */
const pbkdf2 = ({ password = "secret", iterations = 1, salt = "pepper&salt", length = 32 } = {}) =>
  `pbkdf2_sha256$${iterations}$${salt}$${pbkdf2Sync(password, salt, iterations, length, "sha256").toString("base64")}`;
const scrypt = ({ n = 2, r = 1, p = 1, salt = "salt" } = {}) =>
  `scrypt$${n}$${salt}$${r}$${p}$${scryptSync("secret", salt, 64, { N: n, r, p, maxmem: 2 ** 30 }).toString("base64")}`;
const unpadded = (bytes: Buffer) => bytes.toString("base64").replace(/=+$/, "");
const argon2 = ({ m = 8, t = 1, p = 1, salt = "saltsalt" } = {}) => {
  const hash = argon2Sync("argon2id", {
    ...{ message: "secret", nonce: Buffer.from(salt), memory: m, passes: t, parallelism: p },
    tagLength: 32,
  });
  return `argon2$argon2id$v=19$m=${m},t=${t},p=${p}$${unpadded(Buffer.from(salt))}$${unpadded(hash)}`;
};
const sha256 = (text: string) => createHash("sha256").update(text).digest("hex");

describe("hashes that Django made", () => {
  test.each(djangoHashes)("$hasher, $password: this password matches and others do not", ({ stored, password }) => {
    expect(isDjangoHash(stored)).toBe(true);
    expect(verify(stored, password)).toBe(true);
    expect(verify(stored, `${password}.`)).toBe(false);
    expect(verify(stored, "")).toBe(false);
  });

  test.each(djangoHashes)(
    "$hasher: space around the password does not count, within it does",
    ({ stored, password }) => {
      expect(verify(stored, ` \t${password}\u00a0\n`)).toBe(true);
      expect(verify(stored, password.replaceAll(" ", ""))).toBe(false);
    },
  );
});

describe("the decoy of a hash that Django made", () => {
  test.each(djangoHashes)(
    "$hasher, $password: no password matches it, and it takes as long",
    ({ stored, password }) => {
      const decoy = decoyOf(stored);
      expect([isDjangoHash(decoy), verify(decoy, password)]).toEqual([true, false]);
      const cpuOf = (hash: string) => {
        const before = process.cpuUsage();
        verify(hash, `${password}.`);
        return process.cpuUsage(before).user;
      };
      const times = Array.from({ length: 3 }, () => [cpuOf(stored), cpuOf(decoy)] as const);
      const ratio = Math.min(...times.map(([, ofDecoy]) => ofDecoy)) / Math.min(...times.map(([real]) => real));
      expect(ratio).toBeGreaterThan(0.6);
      expect(ratio).toBeLessThan(1.7);
    },
  );
});

describe("a password with space around it", () => {
  test("was hashed as it is by the administration pages: it matches as it is, and not trimmed", () => {
    const stored = pbkdf2({ password: " secret " });
    expect([" secret ", "secret", " secret"].map((typed) => verify(stored, typed))).toEqual([true, false, false]);
  });

  test("is trimmed as Python does it", () => {
    expect(verify(pbkdf2(), "\u0085secret\u3000")).toBe(true);
    expect(verify(pbkdf2(), "\ufeffsecret")).toBe(false);
    expect(verify(pbkdf2({ password: "\ufeffsecret" }), " \ufeffsecret")).toBe(true);
  });

  test("of space alone is an empty one", () => {
    expect(verify(pbkdf2({ password: "" }), "   ")).toBe(true);
    expect(verify(pbkdf2(), "   ")).toBe(false);
  });
});

describe("what the tests below change", () => {
  test.each([
    ["pbkdf2", pbkdf2()],
    ["bcrypt", `bcrypt_sha256$${bcrypt.hashSync(sha256("secret"), 4)}`],
    ["scrypt", scrypt()],
    ["Argon2", argon2()],
  ])("%s: matches as it is", (_, stored) => {
    expect([isDjangoHash(stored), verify(stored, "secret"), verify(stored, "secret2")]).toEqual([true, true, false]);
  });
});

test.each([
  ["an unusable password", "!9lW4x3Zq8q7JcYwUuC2nXoO0l1vQ5aB6mD3eF7gH"],
  ["nothing", ""],
  ["the service's own form", "v1:none:$2b$04$abcdefghijklmnopqrstuuabcdefghijklmnopqrstuuabcdefghijklm"],
  ["bcrypt without Django's SHA-256", bcrypt.hashSync("secret", 4)],
  ["Django's other hashers", pbkdf2().replace("sha256", "sha1")],
  ["a name in front", `x${pbkdf2()}`],
  ["a line more", `${pbkdf2()}\n`],
  ["no hash", pbkdf2().replace(/[^$]+$/, "")],
  ["a shorter hash", pbkdf2({ length: 16 })],
  ["no salt", pbkdf2({ salt: "" })],
  ["no iterations", pbkdf2().replace("$1$", "$0$")],
  ["iterations that are no number", pbkdf2().replace("$1$", "$1e1$")],
  ["more iterations than can be written down", pbkdf2().replace("$1$", "$99999999$")],
  ["scrypt with a part missing", scrypt().replace("$1$1$", "$1$")],
  ["Argon2 of another version", argon2().replace("v=19", "v=16")],
  ["Argon2 of another variety", argon2().replace("argon2id", "argon2d")],
  ["Argon2 with a salt that is too short", argon2().replace(/\$c2FsdHNhbHQ\$/, "$c2FsdA$")],
] as const)("%s: has not the form of a Django hash, and nothing matches", (_, stored) => {
  expect(isDjangoHash(stored)).toBe(false);
  expect(verify(stored, "secret")).toBe(false);
  expect(verify(stored, "")).toBe(false);
});

test.each([
  ["pbkdf2", pbkdf2().replace("$1$", "$2000001$")],
  ["bcrypt", `bcrypt_sha256$${bcrypt.hashSync(sha256("secret"), 4).replace("$04$", "$14$")}`],
  ["bcrypt, the dearest there is", `bcrypt_sha256$${bcrypt.hashSync(sha256("secret"), 4).replace("$04$", "$31$")}`],
  ["scrypt by n", scrypt().replace("scrypt$2$", "scrypt$2097152$")],
  ["scrypt by p", scrypt({ n: 2 ** 14, r: 8 }).replace("$8$1$", "$8$9$")],
  ["Argon2 by memory", argon2().replace("m=8,", "m=131073,")],
  ["Argon2 by passes", argon2({ m: 131_072 }).replace("t=1,", "t=5,")],
])("%s: too dear to be compared, so it never matches and costs nothing", (_, stored) => {
  const begin = performance.now();
  expect(verify(stored, "secret")).toBe(false);
  expect(performance.now() - begin).toBeLessThan(50);
});

test.each([
  ["scrypt of no power of two", scrypt().replace("scrypt$2$", "scrypt$3$")],
  ["scrypt of n = 1", scrypt().replace("scrypt$2$", "scrypt$1$")],
  ["Argon2 with less memory than lanes need", argon2().replace("p=1", "p=2")],
])("%s: parameters that do not exist are no match and no error", (_, stored) => {
  expect(verify(stored, "secret")).toBe(false);
});
