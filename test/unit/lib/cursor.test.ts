import { createHmac } from "node:crypto";
import { describe, expect, test } from "@jest/globals";
import { openCursor, sealCursor } from "../../../lib/cursor.ts";
import { keyRing } from "../../../lib/keys.ts";
import { otherSecret, rotatedSecrets, secrets, thrown } from "../helpers.ts";

const keys = keyRing(secrets, "cursor");
const position = { term: "ä", id: 42 };
const cursor = sealCursor(keys, position);
const refusal = { type: "invalid_cursor", code: 400, data: {} };

describe("cursor", () => {
  test("comes back as it was, and can stand in a URL", () => {
    expect(openCursor(keys, cursor)).toEqual(position);
    expect(cursor).toMatch(/^[A-Za-z0-9_-]+$/);
  });

  test("works on while the secret that made it is the previous one, and not after", () => {
    expect(openCursor(keyRing(rotatedSecrets, "cursor"), cursor)).toEqual(position);
    const after = keyRing({ current: otherSecret, previous: undefined }, "cursor");
    expect(thrown(() => openCursor(after, cursor))).toMatchObject(refusal);
  });

  test("with any one byte changed it is refused", () => {
    const bytes = Buffer.from(cursor, "base64url");
    for (let at = 0; at < bytes.length; at++) {
      const changed = Buffer.from(bytes);
      changed[at]! ^= 1;
      expect(thrown(() => openCursor(keys, changed.toString("base64url")))).toMatchObject(refusal);
    }
  });

  const body = Buffer.from(JSON.stringify({ id: 1 }));
  test.each([
    ["nothing", ""],
    ["a word", "42"],
    ["a position without a mac", body.toString("base64url")],
    ["a mac without a position", Buffer.alloc(16).toString("base64url")],
    [
      "a mac of ours for another use",
      Buffer.concat([
        createHmac("sha256", keyRing(secrets, "access-token").current.object).update(body).digest().subarray(0, 16),
        body,
      ]).toString("base64url"),
    ],
    ["SQL", "' or 1=1 --"],
    ["NUL", "\u0000"],
    ["100 KB", "A".repeat(100_000)],
  ])("%s is refused", (_, text) => {
    expect(thrown(() => openCursor(keys, text))).toMatchObject(refusal);
  });
});
