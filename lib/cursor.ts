import { createHmac, timingSafeEqual } from "node:crypto";
import { ServiceError } from "./errors.ts";
import type { KeyRing } from "./keys.ts";

const macLength = 16;
const macOf = (key: KeyRing["current"], body: Buffer): Buffer =>
  createHmac("sha256", key.object).update(body).digest().subarray(0, macLength);

/** Where a page ended, as text that clients hand back unread. */
export function sealCursor(keys: KeyRing, position: object): string {
  const body = Buffer.from(JSON.stringify(position));
  return Buffer.concat([macOf(keys.current, body), body]).toString("base64url");
}

/** @throws ServiceError `invalid_cursor` for whatever `sealCursor` did not make: nobody else chooses where a query starts */
export function openCursor(keys: KeyRing, cursor: string): unknown {
  const bytes = Buffer.from(cursor, "base64url");
  const mac = bytes.subarray(0, macLength);
  const body = bytes.subarray(macLength);
  const ours = mac.length === macLength && keys.all.some((key) => timingSafeEqual(macOf(key, body), mac));
  if (!ours) throw new ServiceError("invalid_cursor");
  return JSON.parse(body.toString());
}
