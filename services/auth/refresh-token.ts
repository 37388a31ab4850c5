import { createHash, createHmac, randomBytes, timingSafeEqual } from "node:crypto";
import type { Key, KeyRing } from "../../lib/keys.ts";

/**
 * A refresh token is opaque to its owner: 16 bytes session id, 32 bytes secret, 16 bytes tag, base64url. The tag is an
 * HMAC by which a forged token is refused without a look at the database, so that whatever passes and is not the
 * session's current secret was ours once: reuse. Only the SHA-256 of id and secret is stored.
 */
const idLength = 16;
const secretLength = 32;
const tagLength = 16;
const length = 86;

export interface RefreshToken {
  /** UUID */
  readonly sessionId: string;
  readonly text: string;
  /** Of id and secret: the tag may be made anew with another key. */
  readonly hash: Buffer;
  /** The key that its tag was made with. */
  readonly key: Key;
}

const hmac = (key: Key, label: string, ...parts: Buffer[]): Buffer => {
  const mac = createHmac("sha256", key.object).update(label);
  for (const part of parts) mac.update(part);
  return mac.digest();
};
const tagOf = (key: Key, body: Buffer): Buffer => hmac(key, "tag", body).subarray(0, tagLength);

const asUuid = (hex: string): string => hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");

function assemble(key: Key, id: Buffer, secret: Buffer): RefreshToken {
  const body = Buffer.concat([id, secret]);
  const text = Buffer.concat([body, tagOf(key, body)]).toString("base64url");
  return { sessionId: asUuid(id.toString("hex")), text, hash: createHash("sha256").update(body).digest(), key };
}

/** The first refresh token of a new session. @param sessionId UUID */
export function firstRefreshToken(keys: KeyRing, sessionId: string): RefreshToken {
  return assemble(keys.current, Buffer.from(sessionId.replaceAll("-", ""), "hex"), randomBytes(secretLength));
}

/** A token that we made, whatever has become of it since; `undefined` for everything else. */
export function readRefreshToken(keys: KeyRing, text: string): RefreshToken | undefined {
  if (text.length !== length || !/^[A-Za-z0-9_-]+$/.test(text)) return undefined;
  const bytes = Buffer.from(text, "base64url");
  const body = bytes.subarray(0, idLength + secretLength);
  const tag = bytes.subarray(idLength + secretLength);
  const key = keys.all.find((candidate) => timingSafeEqual(tagOf(candidate, body), tag));
  if (!key) return undefined;
  const token = assemble(key, body.subarray(0, idLength), body.subarray(idLength));
  // The last character has spare bits: only the one spelling that we issued counts.
  return token.text === text ? token : undefined;
}

/**
 * Stands for a token that the original issued. Its session's id follows from the token, so that however often it comes,
 * it is exchanged for one session.
 */
export function adoptedRefreshToken(keys: KeyRing, text: string): RefreshToken {
  const hash = createHash("sha256").update(text).digest();
  const id = createHash("sha256").update("session of").update(hash).digest("hex").slice(0, 32);
  return { sessionId: asUuid(id), text, hash, key: keys.current };
}

/**
 * The token that follows, derived and not drawn: when an answer is lost and the same old token comes again, the same
 * successor can be given without having been stored. Derived with the old token's own key, so that it stays the same
 * while keys are rotated.
 */
export function successorOf(keys: KeyRing, token: RefreshToken): RefreshToken {
  const id = Buffer.from(token.sessionId.replaceAll("-", ""), "hex");
  return assemble(keys.current, id, hmac(token.key, "successor", token.hash));
}
