import { createHash } from "node:crypto";
import { describe, expect, test } from "@jest/globals";
import { keyRing } from "../../../../lib/keys.ts";
import { firstRefreshToken, readRefreshToken, successorOf } from "../../../../services/auth/refresh-token.ts";
import { bestTime, otherSecret, rotatedSecrets, secrets, sessionId } from "../../helpers.ts";

const keys = keyRing(secrets, "refresh-token");
const rotated = keyRing(rotatedSecrets, "refresh-token");
const first = firstRefreshToken(keys, sessionId);
const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

describe("firstRefreshToken", () => {
  test("is 86 characters of base64url and names its session", () => {
    expect(first.text).toMatch(/^[A-Za-z0-9_-]{86}$/);
    expect(first.sessionId).toBe(sessionId);
  });

  test("is stored as the SHA-256 of session id and secret, whichever key made its tag", () => {
    expect(first.hash).toEqual(
      createHash("sha256").update(Buffer.from(first.text, "base64url").subarray(0, 48)).digest(),
    );
  });

  test("has 256 random bits: two of one session have nothing in common but the session", () => {
    const tokens = Array.from({ length: 100 }, () => firstRefreshToken(keys, sessionId).text);
    const secretsOf = tokens.map((text) => Buffer.from(text, "base64url").subarray(16, 48).toString("hex"));
    expect(new Set(secretsOf).size).toBe(100);
  });
});

describe("readRefreshToken", () => {
  test("reads what we made, with the same hash", () => {
    expect(readRefreshToken(keys, first.text)).toEqual(first);
  });

  test("reads what the previous secret made, with the same hash, until that one is gone", () => {
    expect(readRefreshToken(rotated, first.text)).toEqual(first);
    const after = keyRing({ current: otherSecret, previous: undefined }, "refresh-token");
    expect(readRefreshToken(after, first.text)).toBeUndefined();
  });

  test("any one bit of any character changed is refused, the spare bits of the last one included", () => {
    for (let at = 0; at < first.text.length; at++) {
      for (const bit of [1, 2, 4, 8, 16, 32]) {
        const changed = alphabet[alphabet.indexOf(first.text[at]!) ^ bit]!;
        const tampered = first.text.slice(0, at) + changed + first.text.slice(at + 1);
        expect(readRefreshToken(keys, tampered)).toBeUndefined();
      }
    }
  });

  test("another spelling of the same bytes is another text, and refused: it would have another hash", () => {
    const last = alphabet.indexOf(first.text.at(-1)!);
    const others = Array.from({ length: 16 }, (_, low) => first.text.slice(0, -1) + alphabet[(last & 48) | low]!);
    const sameBytes = others.filter((text) =>
      Buffer.from(text, "base64url").equals(Buffer.from(first.text, "base64url")),
    );
    expect(sameBytes).toHaveLength(16);
    expect(sameBytes.filter((text) => readRefreshToken(keys, text))).toEqual([first.text]);
  });

  test("one for another session with the tag of this one is refused", () => {
    const other = Buffer.from(firstRefreshToken(keys, "11111111-2222-4333-8444-555555555555").text, "base64url");
    const forged = Buffer.concat([other.subarray(0, 16), Buffer.from(first.text, "base64url").subarray(16)]);
    expect(readRefreshToken(keys, forged.toString("base64url"))).toBeUndefined();
  });

  test.each(["access-token", "one-time-token", "cursor"] as const)(
    "one made with our key for %s is refused",
    (purpose) => {
      expect(readRefreshToken(keys, firstRefreshToken(keyRing(secrets, purpose), sessionId).text)).toBeUndefined();
    },
  );

  test.each([
    ["nothing", ""],
    ["a word", "token"],
    ["one character less", first.text.slice(1)],
    ["one character more", `${first.text}A`],
    ["padding", `${first.text}==`],
    ["a line break in the place of the last character", `${first.text.slice(0, -1)}\n`],
    ["a dot in it", `${first.text.slice(0, 40)}.${first.text.slice(41)}`],
    ["ordinary base64", "+".repeat(86)],
    ["a letter that is not ASCII", `é${first.text.slice(1)}`],
    ["zeros", Buffer.alloc(64).toString("base64url")],
    ["an access token", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl"],
  ])("%s is refused", (_, text) => {
    expect(readRefreshToken(keys, text)).toBeUndefined();
  });

  test("1 MB is refused at once", () => {
    const flood = "A".repeat(1_000_000);
    expect(bestTime(() => expect(readRefreshToken(keys, flood)).toBeUndefined())).toBeLessThan(1);
  });
});

describe("successorOf", () => {
  test("is the same each time: a lost answer can be given again without having been stored", () => {
    expect(successorOf(keys, first)).toEqual(successorOf(keys, first));
    const presentedAgain = readRefreshToken(keys, first.text);
    expect(presentedAgain && successorOf(keys, presentedAgain)).toEqual(successorOf(keys, first));
  });

  test("is a token of the same session, and not the one before", () => {
    const next = successorOf(keys, first);
    expect(readRefreshToken(keys, next.text)).toEqual(next);
    expect(next.sessionId).toBe(sessionId);
    expect(next.text).not.toBe(first.text);
  });

  test("a chain never comes back to an earlier token", () => {
    const seen = new Set([first.text]);
    for (let token = first, i = 0; i < 200; i++) {
      token = successorOf(keys, token);
      seen.add(token.text);
    }
    expect(seen.size).toBe(201);
  });

  test("of two tokens of one session are two", () => {
    expect(successorOf(keys, firstRefreshToken(keys, sessionId)).text).not.toBe(successorOf(keys, first).text);
  });

  test("cannot be computed without our key, and is made with the current one after a rotation", () => {
    const next = successorOf(rotated, first);
    expect(next.text).not.toBe(successorOf(keys, first).text);
    expect(readRefreshToken(keys, next.text)).toBeUndefined();
    expect(readRefreshToken(rotated, next.text)).toEqual(next);
  });
});
