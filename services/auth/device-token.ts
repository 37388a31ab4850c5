import { createHmac, randomBytes, timingSafeEqual } from "node:crypto";
import type { Key, KeyRing } from "../../lib/keys.ts";

/**
 * Tells a device on which somebody has signed in before, so that a stranger's guesses do not lock the owner out: 16 bytes id
 * and 16 bytes tag, base64url. It opens nothing: its holder has a budget of wrong passwords of his own, for one account.
 */
const idLength = 16;
const tagLength = 16;

const tagOf = (key: Key, canonicalEmail: string, id: Buffer): Buffer =>
  createHmac("sha256", key.object).update(id).update(canonicalEmail).digest().subarray(0, tagLength);

/** For whoever has just signed in; a device that has one already keeps its id. @param id hexadecimal */
export function deviceToken(keys: KeyRing, canonicalEmail: string, id: string | undefined): string {
  const bytes = id === undefined ? randomBytes(idLength) : Buffer.from(id, "hex");
  return Buffer.concat([bytes, tagOf(keys.current, canonicalEmail, bytes)]).toString("base64url");
}

/** The device's id, hexadecimal; `undefined` when we did not make the token for this address. */
export function readDeviceToken(keys: KeyRing, canonicalEmail: string, token: string | undefined): string | undefined {
  if (token === undefined || !/^[A-Za-z0-9_-]{43}$/.test(token)) return undefined;
  const bytes = Buffer.from(token, "base64url");
  const id = bytes.subarray(0, idLength);
  const tag = bytes.subarray(idLength, idLength + tagLength);
  const ours = keys.all.some((key) => timingSafeEqual(tagOf(key, canonicalEmail, id), tag));
  return ours ? id.toString("hex") : undefined;
}
