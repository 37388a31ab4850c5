import { describe, expect, test } from "@jest/globals";
import { decodeUserId, encodeUserId } from "../../../lib/user-reference.ts";

const reference = (text: string): string => Buffer.from(text).toString("base64url");

describe("user reference", () => {
  test("is the original's uidb64: base64url of the decimal id", () => {
    expect([encodeUserId(1), encodeUserId(42), encodeUserId(1234)]).toEqual(["MQ", "NDI", "MTIzNA"]);
  });

  test.each([1, 9, 10, 42, 2_147_483_647, Number.MAX_SAFE_INTEGER])("%d comes back as it was", (id) => {
    expect(decodeUserId(encodeUserId(id))).toBe(id);
  });

  test.each([
    ["nothing", ""],
    ["zero", reference("0")],
    ["a leading zero", reference("042")],
    ["a negative number", reference("-1")],
    ["a plus sign", reference("+1")],
    ["a fraction", reference("1.5")],
    ["an exponent", reference("1e3")],
    ["hexadecimal", reference("0x10")],
    ["2^53", reference("9007199254740992")],
    ["17 digits", reference("10000000000000000")],
    ["a space", reference(" 1")],
    ["a line break", reference("1\n")],
    ["NUL", reference("1\u0000")],
    ["Arabic digits", reference("١")],
    ["fullwidth digits", reference("１")],
    ["a word", reference("admin")],
    ["SQL", reference("1 or 1=1")],
    ["a plain number, not encoded", "42"],
    ["no base64", "%%%"],
  ])("%s is nobody", (_, text) => {
    expect(decodeUserId(text)).toBeUndefined();
  });
});
