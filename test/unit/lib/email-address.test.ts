import { describe, expect, test } from "@jest/globals";
import { readEmailAddress } from "../../../lib/email-address.ts";
import { bestTime } from "../helpers.ts";

const canonicalOf = (typed: string): string | undefined => readEmailAddress(typed)?.canonical;
const domainOf = (length: number): string => {
  const labels = "d".repeat(length - 3).replaceAll(/(.{40}).(?=.)/g, "$1.");
  return `${labels}.co`;
};

describe("readEmailAddress: what is an address", () => {
  test("a plain address is taken as it is", () => {
    expect(readEmailAddress("anna@example.com")).toEqual({
      address: "anna@example.com",
      canonical: "anna@example.com",
    });
  });

  test.each([
    ["another case", "A@B.CO"],
    ["surrounding space", "  a@b.co\t"],
    ["a trailing line break", "a@b.co\r\n"],
    ["a trailing dot", "a@b.co."],
    ["trailing dot and case", "A@b.Co."],
    ["a byte order mark", "\ufeffa@b.co"],
  ])("a@b.co with %s is the same account", (_, typed) => {
    expect(canonicalOf(typed)).toBe("a@b.co");
  });

  test("the local part keeps its case where mail goes, and loses it where accounts are compared", () => {
    expect(readEmailAddress("Anna.K@Example.COM")).toEqual({
      address: "Anna.K@example.com",
      canonical: "anna.k@example.com",
    });
  });

  test.each(["a+tag@b.co", "o'neil@b.co", "a.b.c@d-e.f.co", "!#$%&'*+/=?^_`{|}~-@b.co", "1@2.co"])(
    "%s is accepted",
    (typed) => {
      expect(readEmailAddress(typed)?.address).toBe(typed);
    },
  );

  test("tags and dots are part of the name: different mailboxes stay different accounts", () => {
    expect(new Set(["ab@c.co", "a.b@c.co", "ab+x@c.co"].map(canonicalOf)).size).toBe(3);
  });

  test.each([
    ["a@bücher.de", "a@xn--bcher-kva.de"],
    ["a@BÜCHER.DE", "a@xn--bcher-kva.de"],
    ["a@bu\u0308cher.de", "a@xn--bcher-kva.de"],
    ["a@xn--bcher-kva.de", "a@xn--bcher-kva.de"],
    ["a@почта.рф", "a@xn--80a1acny.xn--p1ai"],
    ["a@\u212A.co", "a@k.co"],
    ["a@example.ＣＯＭ", "a@example.com"],
  ])("the domain of %s becomes IDNA's ASCII form", (typed, address) => {
    expect(readEmailAddress(typed)).toEqual({ address, canonical: address });
  });
});

describe("readEmailAddress: what is refused", () => {
  test.each([
    ["nothing", ""],
    ["only space", "   "],
    ["no at sign", "a.b.co"],
    ["no name", "@b.co"],
    ["no domain", "a@"],
    ["a domain without a dot", "a@localhost"],
    ["a list", "a@b.co,evil@x.co"],
    ["a list with semicolons", "a@b.co;evil@x.co"],
    ["a list with spaces", "a@b.co evil@x.co"],
    ["a quoted name with an address in it", '"e@attacker.com"@victim.com'],
    ["a quoted name", '"a"@b.co'],
    ["angle brackets", "<a@b.co>"],
    ["angle brackets before another address", "<evil@x.co> a@b.co"],
    ["a display name", "Anna <a@b.co>"],
    ["a group", "group: a@b.co, evil@x.co;"],
    ["a comment in the name", "a(c)@b.co"],
    ["a comment after the domain", "a@b.co (c)"],
    ["a comment in the domain", "a@(c)b.co"],
    ["a source route", "@x.co:a@b.co"],
    ["two at signs", "a@x.co@b.co"],
    ["a percent hack with a space", "a%x.co @b.co"],
    ["a header after a line break", "a@b.co\r\nBcc: evil@x.co"],
    ["a bare line feed", "a\n@b.co"],
    ["a bare carriage return in the domain", "a@b\r.co"],
    ["NUL at the end", "a@b.co\u0000"],
    ["NUL in the name", "a\u0000@b.co"],
    ["NUL in the domain", "a@b\u0000.co"],
    ["DEL", "a\u007f@b.co"],
    ["a tab in the middle", "a\t@b.co"],
    ["the Kelvin sign in the name", "\u212Aate@b.co"],
    ["the long s in the name", "\u017Fam@b.co"],
    ["a dotted capital I in the name", "\u0130a@b.co"],
    ["an umlaut in the name", "jürgen@b.co"],
    ["a fullwidth at sign", "a＠b.co"],
    ["a lone surrogate in the name", "a\ud800@b.co"],
    ["a lone surrogate in the domain", "a@b\ud800.co"],
    ["a zero-width joiner", "a@b\u200d.co"],
    ["a soft hyphen", "a@b\u00ad.co"],
    ["a right-to-left override", "a@\u202eb.co"],
    ["a dot at the start of the name", ".a@b.co"],
    ["a dot at the end of the name", "a.@b.co"],
    ["two dots in the name", "a..b@c.co"],
    ["two dots in the domain", "a@b..co"],
    ["two trailing dots", "a@b.co.."],
    ["a dot at the start of the domain", "a@.b.co"],
    ["an ideographic full stop", "a@b\u3002co"],
    ["a hyphen at the start of a label", "a@-b.co"],
    ["a hyphen at the end of a label", "a@b-.co"],
    ["an underscore in the domain", "a@b_c.co"],
    ["a percent escape in the domain", "a@b%2eco"],
    ["an IPv4 address", "a@127.0.0.1"],
    ["a short IPv4 address", "a@127.1"],
    ["a hexadecimal IPv4 address", "a@0x7f.1"],
    ["a fullwidth IPv4 address", "a@１２７.０.０.１"],
    ["an address literal", "a@[127.0.0.1]"],
    ["an IPv6 literal", "a@[IPv6:::1]"],
    ["a number as the top level", "a@b.123"],
    ["a port", "a@b.co:25"],
    ["a path", "a@b.co/x"],
    ["a query", "a@b.co?x"],
    ["a mailto link", "mailto:a@b.co"],
  ])("%s", (_, typed) => {
    expect(readEmailAddress(typed)).toBeUndefined();
  });
});

describe("readEmailAddress: limits", () => {
  test.each([
    [64, true],
    [65, false],
  ])("a name of %d characters: accepted is %s", (length, accepted) => {
    expect(readEmailAddress(`${"a".repeat(length)}@b.co`) !== undefined).toBe(accepted);
  });

  test.each([
    [63, true],
    [64, false],
  ])("a label of %d characters: accepted is %s", (length, accepted) => {
    expect(readEmailAddress(`a@${"b".repeat(length)}.co`) !== undefined).toBe(accepted);
  });

  test.each([
    [254, true],
    [255, false],
  ])("an address of %d characters: accepted is %s", (length, accepted) => {
    const typed = `${"a".repeat(20)}@${domainOf(length - 21)}`;
    expect(typed).toHaveLength(length);
    expect(readEmailAddress(typed) !== undefined).toBe(accepted);
  });

  test("a domain that only its ASCII form makes too long is refused", () => {
    const typed = `a@${Array.from({ length: 12 }, () => "ü".repeat(16)).join(".")}.co`;
    expect(typed.length).toBeLessThan(254);
    expect(readEmailAddress(typed)).toBeUndefined();
  });

  test.each([
    ["one letter", "a"],
    ["dots", "."],
    ["at signs", "@"],
    ["letter and dot", "a."],
    ["hyphens", "-"],
    ["spaces", " "],
    ["quotes", '"'],
    ["open parentheses", "("],
    ["two-byte letters", "ü"],
    ["unfinished escapes", "%4"],
  ])("100 KB of %s are refused in less than 50 ms, wherever they stand", (_, piece) => {
    const flood = piece.repeat(100_000 / piece.length);
    for (const typed of [flood, `${flood}@b.co`, `a@${flood}`, `a@${flood}.co`, `a@b.co${flood}x`]) {
      expect(bestTime(() => expect(readEmailAddress(typed)).toBeUndefined())).toBeLessThan(50);
    }
  });
});
