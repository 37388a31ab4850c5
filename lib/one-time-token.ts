import { createHmac, timingSafeEqual } from "node:crypto";
import type { KeyRing } from "./keys.ts";

export const oneTimePurposes = ["verify-email", "reset-password", "confirm-email", "undo-email"] as const;
export type OneTimePurpose = (typeof oneTimePurposes)[number];

const idLength = 16;
const macLength = 32;

const macOf = (key: KeyRing["current"], purpose: OneTimePurpose, id: Buffer): Buffer =>
  createHmac("sha256", key.object).update(purpose).update(id).digest();

/**
 * The token for a row of `one_time_tokens`: 16 bytes of its id and the HMAC of purpose and id, base64url, 64 characters.
 * It is made again for every sending attempt, so that nothing usable lies in the database.
 * @param id UUID of the row
 */
export function mintOneTimeToken(keys: KeyRing, purpose: OneTimePurpose, id: string): string {
  const bytes = Buffer.from(id.replaceAll("-", ""), "hex");
  return Buffer.concat([bytes, macOf(keys.current, purpose, bytes)]).toString("base64url");
}

/** The id of the row that a token names, if we made it for this purpose; what the row still allows is asked of the database. */
export function readOneTimeToken(keys: KeyRing, purpose: OneTimePurpose, token: string): string | undefined {
  if (!/^[A-Za-z0-9_-]{64}$/.test(token)) return undefined;
  const bytes = Buffer.from(token, "base64url");
  const id = bytes.subarray(0, idLength);
  const mac = bytes.subarray(idLength, idLength + macLength);
  const ours = keys.all.some((key) => timingSafeEqual(macOf(key, purpose, id), mac));
  return ours ? id.toString("hex").replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5") : undefined;
}
