import { createHash, createHmac } from "node:crypto";

/** Something that must not be found, in all the forms in which it might lie somewhere: form -> text. */
export type Forms = Readonly<Record<string, string>>;

/** As typed, and as other layers would write it down. */
export const formsOfText = (text: string): Forms => ({
  plain: text,
  "in JSON": JSON.stringify(text).slice(1, -1),
  "in a URL": encodeURIComponent(text),
  ...formsOfBytes(Buffer.from(text)),
});

/** Hexadecimal and base64, wherever in a longer text the bytes may begin. */
export function formsOfBytes(bytes: Buffer): Forms {
  const shifted = [0, 1, 2].map((before) => {
    const text = Buffer.concat([Buffer.alloc(before), bytes]).toString("base64");
    // Without the characters that the bytes before and behind have a share in.
    return text.slice(before === 0 ? 0 : before + 1, text.length - ((bytes.length + before) % 3 === 0 ? 0 : 4));
  });
  const base64 = shifted.map((text, before) => [`base64, ${before} bytes in`, text]);
  const base64url = shifted.map((text, before) => [
    `base64url, ${before} bytes in`,
    text.replaceAll("+", "-").replaceAll("/", "_"),
  ]);
  const hex = bytes.toString("hex");
  return { hex, HEX: hex.toUpperCase(), ...(Object.fromEntries([...base64, ...base64url]) as Forms) };
}

/** Nor any hash that is quick to guess from, the input of the slow one included. */
export function formsOfPassword(password: string, peppers: readonly string[]): Forms {
  const digests = ["md5", "sha1", "sha256", "sha384", "sha512"].map(
    (name) => [name, createHash(name).update(password).digest()] as const,
  );
  const peppered = ["", ...peppers].map(
    (pepper, index) => [`pepper ${index}`, createHmac("sha384", pepper).update(password).digest()] as const,
  );
  const hashed = [...digests, ...peppered].flatMap(([name, digest]) =>
    Object.entries(formsOfBytes(digest)).map(([form, text]) => [`${name}, ${form}`, text]),
  );
  return { ...formsOfText(password), ...(Object.fromEntries(hashed) as Forms) };
}

/** A JWT, and what of it nobody else can make. */
export function formsOfJwt(token: string): Forms {
  const signature = token.split(".")[2] ?? "";
  return { ...formsOfText(token), signature, ...prefixed("signature", Buffer.from(signature, "base64url")) };
}

/** A token of ours: an id that is no secret, and behind it what is. */
export function formsOfToken(token: string, publicBytes = 16): Forms {
  const secret = Buffer.from(token, "base64url").subarray(publicBytes);
  return { ...formsOfText(token), ...prefixed("secret", secret), ...prefixed("its 32 bytes", secret.subarray(0, 32)) };
}

const prefixed = (name: string, bytes: Buffer): Forms =>
  Object.fromEntries(Object.entries(formsOfBytes(bytes)).map(([form, text]) => [`${name}, ${form}`, text]));
