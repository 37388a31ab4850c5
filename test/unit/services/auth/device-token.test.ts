import { describe, expect, test } from "@jest/globals";
import { keyRing } from "../../../../lib/keys.ts";
import { deviceToken, readDeviceToken } from "../../../../services/auth/device-token.ts";
import { otherSecret, rotatedSecrets, secrets } from "../../helpers.ts";

const keys = keyRing(secrets, "device-token");
const anna = { id: 7, sessionEpoch: 3 };

describe("a device's token", () => {
  test("is 56 characters, another one for each device, and names it, the account and its epoch", () => {
    const [one, two] = [deviceToken(keys, anna, undefined), deviceToken(keys, anna, undefined)];
    expect(one).toMatch(/^[A-Za-z0-9_-]{56}$/);
    expect(readDeviceToken(keys, one)).toEqual({
      id: expect.stringMatching(/^[0-9a-f]{32}$/),
      userId: 7,
      sessionEpoch: 3,
    });
    expect(readDeviceToken(keys, one)?.id).not.toBe(readDeviceToken(keys, two)?.id);
  });

  test("a device that signs in again keeps its id, in the epoch that it is now", () => {
    const before = deviceToken(keys, anna, undefined);
    const after = readDeviceToken(keys, deviceToken(keys, { ...anna, sessionEpoch: 4 }, before));
    expect(after).toEqual({ ...readDeviceToken(keys, before), sessionEpoch: 4 });
  });

  test("a device of another account gets a new id: its two accounts are nobody's to connect", () => {
    const others = deviceToken(keys, { ...anna, id: 8 }, undefined);
    const own = readDeviceToken(keys, deviceToken(keys, anna, others));
    expect(own?.userId).toBe(7);
    expect(own?.id).not.toBe(readDeviceToken(keys, others)?.id);
  });

  test("the largest account and epoch fit", () => {
    const owner = { id: 2 ** 48 - 1, sessionEpoch: 2 ** 31 - 1 };
    expect(readDeviceToken(keys, deviceToken(keys, owner, undefined))).toMatchObject({
      userId: owner.id,
      sessionEpoch: owner.sessionEpoch,
    });
  });

  test("counts under the key before, and under no other", () => {
    const token = deviceToken(keys, anna, undefined);
    expect(readDeviceToken(keyRing(rotatedSecrets, "device-token"), token)).toBeDefined();
    expect(readDeviceToken(keyRing({ current: otherSecret, previous: undefined }, "device-token"), token)).toBe(
      undefined,
    );
    expect(readDeviceToken(keyRing(secrets, "refresh-token"), token)).toBeUndefined();
  });

  test("with any bit flipped is none", () => {
    const bytes = Buffer.from(deviceToken(keys, anna, undefined), "base64url");
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      const forged = Buffer.from(bytes);
      forged.writeUInt8(forged.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3);
      expect([bit, readDeviceToken(keys, forged.toString("base64url"))]).toEqual([bit, undefined]);
    }
  });

  test.each([undefined, "", "a", "A".repeat(56), "A".repeat(57), "Ä".repeat(56), "A".repeat(100_000)])(
    "%j is none",
    (token) => {
      expect(readDeviceToken(keys, token)).toBeUndefined();
    },
  );
});
