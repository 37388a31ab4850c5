import { describe, expect, test } from "@jest/globals";
import { keyRing, type Key, type KeyPurpose } from "../../../lib/keys.ts";
import { otherSecret, rotatedSecrets, secret, secrets } from "../helpers.ts";

const purposes: readonly KeyPurpose[] = [
  "access-token",
  "refresh-token",
  "one-time-token",
  "device-token",
  "cursor",
  "packet",
];
const bytes = ({ object }: Key): string => object.export().toString("hex");

describe("keyRing", () => {
  test("the same secret and purpose give the same key, on every node and after every start", () => {
    const [one, two] = [keyRing(secrets, "cursor"), keyRing(secrets, "cursor")];
    expect([bytes(one.current), one.current.id]).toEqual([bytes(two.current), two.current.id]);
  });

  test("every purpose has a key and an id of its own", () => {
    const keys = purposes.map((purpose) => keyRing(secrets, purpose).current);
    expect(new Set(keys.map(bytes)).size).toBe(purposes.length);
    expect(new Set(keys.map(({ id }) => id)).size).toBe(purposes.length);
  });

  test("another secret gives another key", () => {
    const other = keyRing({ current: otherSecret, previous: undefined }, "cursor");
    expect(bytes(other.current)).not.toBe(bytes(keyRing(secrets, "cursor").current));
  });

  test("a key has 256 bits, and neither is it the secret nor does its id show it", () => {
    const { current } = keyRing(secrets, "access-token");
    expect(current.object.symmetricKeySize).toBe(32);
    expect(current.id).toMatch(/^[0-9a-f]{8}$/);
    expect(bytes(current)).not.toContain(Buffer.from(secret).toString("hex"));
    expect(bytes(current)).not.toContain(current.id);
  });

  test("without a previous secret one key counts", () => {
    const ring = keyRing(secrets, "cursor");
    expect(ring.all).toEqual([ring.current]);
  });

  test("with a previous secret both count, the current one first", () => {
    const [before, after] = [keyRing(secrets, "cursor"), keyRing(rotatedSecrets, "cursor")];
    expect(after.all.map(bytes)).toEqual([bytes(after.current), bytes(before.current)]);
    expect(bytes(after.current)).not.toBe(bytes(before.current));
  });
});
