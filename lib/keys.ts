import { createHash, createSecretKey, hkdfSync, type KeyObject } from "node:crypto";

/** Every use of the secret has a key of its own, so that a token of one kind can never pass as another. */
export type KeyPurpose = "access-token" | "refresh-token" | "one-time-token" | "device-token" | "cursor" | "packet";

export interface Key {
  /** Public name of the key, eight hexadecimal digits; tells nothing about it. */
  readonly id: string;
  readonly object: KeyObject;
}

/** The current key first, then the previous one while a rotation overlaps. */
export interface KeyRing {
  readonly current: Key;
  readonly all: readonly Key[];
}

function deriveKey(secret: string, purpose: KeyPurpose): Key {
  // RFC 5869; the secret has at least 32 bytes of its own, so the salt may be constant.
  const bytes = Buffer.from(hkdfSync("sha256", secret, "identity", purpose, 32));
  const id = createHash("sha256").update("key id").update(bytes).digest("hex").slice(0, 8);
  return { id, object: createSecretKey(bytes) };
}

export function keyRing(secrets: { current: string; previous: string | undefined }, purpose: KeyPurpose): KeyRing {
  const current = deriveKey(secrets.current, purpose);
  const previous = secrets.previous === undefined ? [] : [deriveKey(secrets.previous, purpose)];
  return { current, all: [current, ...previous] };
}
