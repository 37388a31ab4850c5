import { describe, expect, test } from "@jest/globals";
import { readPersonName } from "../../../lib/person-name.ts";
import { bestTime } from "../helpers.ts";

describe("readPersonName", () => {
  test.each([
    ["a plain name", "Anna", "Anna"],
    ["surrounding space", "  Anna \n", "Anna"],
    ["space inside", "Anna Maria", "Anna Maria"],
    ["an apostrophe and a hyphen", "O'Neil-Šimek", "O'Neil-Šimek"],
    ["the decomposed form", "Zoe\u0308", "Zo\u00eb"],
    ["the composed form", "Zo\u00eb", "Zo\u00eb"],
    ["another script", "Łukasz 山田 Ольга", "Łukasz 山田 Ольга"],
    ["four-byte characters", "Ann😀", "Ann😀"],
    ["markup, which is for the reader to escape", "<b>x</b>\"&'", "<b>x</b>\"&'"],
    ["template words, which are no template", "<%= 7*7 %>${7*7}{{7*7}}", "<%= 7*7 %>${7*7}{{7*7}}"],
    ["U+2028", "An\u2028na", "An\u2028na"],
  ])("%s: is kept in one form", (_, typed, name) => {
    expect(readPersonName(typed)).toBe(name);
  });

  test.each([
    ["nothing", ""],
    ["only space", " \t\u00a0\u3000"],
    ["NUL", "An\u0000na"],
    ["a line break inside", "Anna\r\nBcc: evil@x.co"],
    ["a tab inside", "An\tna"],
    ["an escape sequence for terminals", "\u001b[31mAnna"],
    ["DEL", "An\u007fna"],
    ["a C1 control", "An\u009bna"],
    ["a lone high surrogate", "Anna\ud83d"],
    ["a lone low surrogate", "\ude00Anna"],
    ["surrogates the wrong way round", "\ude00\ud83d"],
  ])("%s: is refused", (_, typed) => {
    expect(readPersonName(typed)).toBeUndefined();
  });

  test.each(["a", " ", "\u0308", "a\u0308", "\u1161"])("100 KB of %j are answered in less than 50 ms", (piece) => {
    expect(bestTime(() => readPersonName(piece.repeat(100_000 / piece.length)))).toBeLessThan(50);
  });
});
