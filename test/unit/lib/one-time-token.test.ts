import { describe, expect, test } from "@jest/globals";
import { keyRing } from "../../../lib/keys.ts";
import { mintOneTimeToken, oneTimePurposes, readOneTimeToken } from "../../../lib/one-time-token.ts";
import { bestTime, otherSecret, rotatedSecrets, secrets, sessionId as id } from "../helpers.ts";

const keys = keyRing(secrets, "one-time-token");
const token = mintOneTimeToken(keys, "verify-email", id);
const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

describe("one-time token", () => {
  test("names its row for the purpose that it was made for", () => {
    expect(readOneTimeToken(keys, "verify-email", token)).toBe(id);
  });

  test("is the same at every sending attempt, has 64 characters and no need of escaping in a URL", () => {
    expect(mintOneTimeToken(keys, "verify-email", id)).toBe(token);
    expect(token).toMatch(/^[A-Za-z0-9_-]{64}$/);
  });

  test.each(oneTimePurposes.flatMap((made) => oneTimePurposes.map((used) => [made, used] as const)))(
    "made for %s, used for %s",
    (made, used) => {
      const read = readOneTimeToken(keys, used, mintOneTimeToken(keys, made, id));
      expect(read).toBe(made === used ? id : undefined);
    },
  );

  test("works on while the secret that made it is the previous one, and not after", () => {
    expect(readOneTimeToken(keyRing(rotatedSecrets, "one-time-token"), "verify-email", token)).toBe(id);
    const after = keyRing({ current: otherSecret, previous: undefined }, "one-time-token");
    expect(readOneTimeToken(after, "verify-email", token)).toBeUndefined();
  });

  test("a key of another purpose does not make it", () => {
    for (const purpose of ["access-token", "refresh-token", "cursor"] as const) {
      const forged = mintOneTimeToken(keyRing(secrets, purpose), "verify-email", id);
      expect(readOneTimeToken(keys, "verify-email", forged)).toBeUndefined();
    }
  });

  test("with any one bit changed it is refused", () => {
    for (let at = 0; at < token.length; at++) {
      for (const bit of [1, 2, 4, 8, 16, 32]) {
        const changed = alphabet[alphabet.indexOf(token[at]!) ^ bit]!;
        const tampered = token.slice(0, at) + changed + token.slice(at + 1);
        expect(readOneTimeToken(keys, "verify-email", tampered)).toBeUndefined();
      }
    }
  });

  test("the mac of one row does not open another", () => {
    const other = mintOneTimeToken(keys, "verify-email", "11111111-2222-4333-8444-555555555555");
    const mixed = Buffer.concat([
      Buffer.from(other, "base64url").subarray(0, 16),
      Buffer.from(token, "base64url").subarray(16),
    ]);
    expect(readOneTimeToken(keys, "verify-email", mixed.toString("base64url"))).toBeUndefined();
  });

  test.each([
    ["nothing", ""],
    ["one character less", token.slice(1)],
    ["one character more", `${token}A`],
    ["padding", `${token}=`],
    ["a line break", `${token}\n`],
    ["a space", ` ${token}`],
    ["NUL", `${token}\u0000`],
    ["ordinary base64", `${token.slice(0, 62)}+/`],
    ["the id of the row", id],
    ["a mac of nothing", Buffer.alloc(48).toString("base64url")],
  ])("%s is refused", (_, text) => {
    expect(readOneTimeToken(keys, "verify-email", text)).toBeUndefined();
  });

  test("1 MB is refused at once", () => {
    const flood = "A".repeat(1_000_000);
    expect(bestTime(() => readOneTimeToken(keys, "verify-email", flood))).toBeLessThan(50);
  });
});
