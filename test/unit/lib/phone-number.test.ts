import { describe, expect, test } from "@jest/globals";
import { readPhoneNumber } from "../../../lib/phone-number.ts";
import { bestTime } from "../helpers.ts";

describe("readPhoneNumber", () => {
  test.each([
    ["E.164", "+48512345678", "+48512345678"],
    ["spaces", "+48 512 345 678", "+48512345678"],
    ["parentheses and hyphens", "+48 (512) 345-678", "+48512345678"],
    ["dots", "+48.512.345.678", "+48512345678"],
    ["surrounding space", "  +48512345678\n", "+48512345678"],
    ["Arabic digits", "+٤٨٥١٢٣٤٥٦٧٨", "+48512345678"],
    ["Belarus", "+375 29 123-45-67", "+375291234567"],
    ["United States", "+1 212 555 2368", "+12125552368"],
  ])("%s: is read as E.164", (_, typed, e164) => {
    expect(readPhoneNumber(typed)).toBe(e164);
  });

  test.each([
    ["nothing", ""],
    ["only a plus", "+"],
    ["no country code", "512345678"],
    ["00 instead of the plus", "0048512345678"],
    ["a country code that does not exist", "+99912345678"],
    ["one digit too few", "+4851234567"],
    ["one digit too many", "+485123456789"],
    ["more than E.164 has", "+12345678901234567890"],
    ["an American exchange that cannot exist", "+1 212 055 2368"],
    ["letters", "+1-800-FLOWERS"],
    ["words before it", "call +48512345678"],
    ["words behind it", "+48512345678 now"],
    ["a URL", "tel:+48512345678"],
    ["NUL before it", "\u0000+48512345678"],
    ["NUL behind it", "+48512345678\u0000"],
    ["a header behind it", "+48512345678\r\nBcc: evil@x.co"],
    ["SQL behind it", "+48512345678'; drop table users; --"],
    ["two numbers", "+48512345678, +48512345679"],
  ])("%s: is refused", (_, typed) => {
    expect(readPhoneNumber(typed)).toBeUndefined();
  });

  test("65 characters are refused even when a number could be read out of them", () => {
    const typed = `+48512345678${" ".repeat(52)}`;
    expect(readPhoneNumber(typed)).toBe("+48512345678");
    expect(readPhoneNumber(`${typed} `)).toBeUndefined();
  });

  test.each(["1", "+", "(", "+48", " ", "-", ";ext="])("100 KB of %j are refused in less than 50 ms", (piece) => {
    const flood = piece.repeat(100_000 / piece.length);
    for (const typed of [flood, `+48${flood}`]) {
      expect(bestTime(() => expect(readPhoneNumber(typed)).toBeUndefined())).toBeLessThan(50);
    }
  });
});
