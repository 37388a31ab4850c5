import { describe, expect, test } from "@jest/globals";
import { keyRing } from "../../../../lib/keys.ts";
import { deviceToken, readDeviceToken } from "../../../../services/auth/device-token.ts";
import { otherSecret, rotatedSecrets, secrets } from "../../helpers.ts";

const keys = keyRing(secrets, "device-token");
const anna = "anna@example.com";

describe("a device's token", () => {
  test("is 43 characters, another one for each device, and gives its id", () => {
    const [one, two] = [deviceToken(keys, anna, undefined), deviceToken(keys, anna, undefined)];
    expect(one).toMatch(/^[A-Za-z0-9_-]{43}$/);
    expect(readDeviceToken(keys, anna, one)).toMatch(/^[0-9a-f]{32}$/);
    expect(readDeviceToken(keys, anna, one)).not.toBe(readDeviceToken(keys, anna, two));
  });

  test("a device that signs in again keeps its id", () => {
    const id = readDeviceToken(keys, anna, deviceToken(keys, anna, undefined));
    expect(readDeviceToken(keys, anna, deviceToken(keys, anna, id))).toBe(id);
  });

  test("counts for its account's address alone", () => {
    expect(readDeviceToken(keys, "anna@example.co", deviceToken(keys, anna, undefined))).toBeUndefined();
  });

  test("counts under the key before, and under no other", () => {
    const token = deviceToken(keys, anna, undefined);
    expect(readDeviceToken(keyRing(rotatedSecrets, "device-token"), anna, token)).toBeDefined();
    const others = keyRing({ current: otherSecret, previous: undefined }, "device-token");
    expect(readDeviceToken(others, anna, token)).toBeUndefined();
    expect(readDeviceToken(keyRing(secrets, "refresh-token"), anna, token)).toBeUndefined();
  });

  test("with any bit flipped is none", () => {
    const bytes = Buffer.from(deviceToken(keys, anna, undefined), "base64url");
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      const forged = Buffer.from(bytes);
      forged.writeUInt8(forged.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3);
      expect([bit, readDeviceToken(keys, anna, forged.toString("base64url"))]).toEqual([bit, undefined]);
    }
  });

  test.each([undefined, "", "a", "A".repeat(43), "A".repeat(44), "Ä".repeat(43), "A".repeat(100_000)])(
    "%j is none",
    (token) => {
      expect(readDeviceToken(keys, anna, token)).toBeUndefined();
    },
  );
});
