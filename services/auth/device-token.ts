import { createHmac, randomBytes, timingSafeEqual } from "node:crypto";
import type { Key, KeyRing } from "../../lib/keys.ts";

/**
 * Tells a device on which somebody has signed in before, so that a stranger's guesses do not lock the owner out: 16 bytes
 * of id, 6 of the account's id, 4 of its session epoch and 16 of tag, base64url. It opens nothing: its holder has a budget
 * of wrong passwords of his own, for one account, until that account gets a new password.
 */
const idLength = 16;
const userIdLength = 6;
const epochLength = 4;
const signedLength = idLength + userIdLength + epochLength;
const tagLength = 16;

/** Whoever knows the account's password as it is since this epoch. */
interface DeviceOwner {
  readonly id: number;
  readonly sessionEpoch: number;
}

export interface Device {
  /** Hexadecimal. */
  readonly id: string;
  readonly userId: number;
  readonly sessionEpoch: number;
}

const tagOf = (key: Key, signed: Buffer): Buffer =>
  createHmac("sha256", key.object).update(signed).digest().subarray(0, tagLength);

/** For whoever has just shown that the account is his. @param known the token that he came with: its id is kept */
export function deviceToken(keys: KeyRing, owner: DeviceOwner, known: string | undefined): string {
  const before = readDeviceToken(keys, known);
  const signed = Buffer.alloc(signedLength);
  (before?.userId === owner.id ? Buffer.from(before.id, "hex") : randomBytes(idLength)).copy(signed);
  signed.writeUIntBE(owner.id, idLength, userIdLength);
  signed.writeUInt32BE(owner.sessionEpoch, idLength + userIdLength);
  return Buffer.concat([signed, tagOf(keys.current, signed)]).toString("base64url");
}

/** `undefined` when we did not make it. Whether its account is still in the same epoch only the account can tell. */
export function readDeviceToken(keys: KeyRing, token: string | undefined): Device | undefined {
  if (token === undefined || !/^[A-Za-z0-9_-]{56}$/.test(token)) return undefined;
  const bytes = Buffer.from(token, "base64url");
  const signed = bytes.subarray(0, signedLength);
  const tag = bytes.subarray(signedLength);
  if (!keys.all.some((key) => timingSafeEqual(tagOf(key, signed), tag))) return undefined;
  return {
    id: signed.toString("hex", 0, idLength),
    userId: signed.readUIntBE(idLength, userIdLength),
    sessionEpoch: signed.readUInt32BE(idLength + userIdLength),
  };
}
