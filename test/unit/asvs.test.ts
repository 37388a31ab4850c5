import { describe, expect, test } from "@jest/globals";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { testNamesIn } from "../support/test-names.ts";

const root = join(import.meta.dirname, "../..");
const read = (file: string): string => readFileSync(join(root, file), "utf8");

interface Reference {
  readonly file: string;
  /** Words of a test's name; empty where the file alone is named. */
  readonly words: string;
}
/** `` `test/a.test.ts` "words" ``; `the same file, "words"` goes on with the file before. */
function referencesIn(text: string): Reference[] {
  let file = "";
  return [...text.matchAll(/`((?:test|bench|\.ci)\/[^`]+)`(?: "([^"]*)")?|the same file, "([^"]*)"/g)].map((match) => {
    file = match[1] ?? file;
    return { file, words: (match[2] ?? match[3] ?? "").replaceAll(/\s+/g, " ") };
  });
}
/** Of what is no test (`bench/`, `.ci/`) only the file is named. */
const has = ({ file, words }: Reference): boolean =>
  existsSync(join(root, file)) && (words === "" || testNamesIn(read(file)).some((name) => name.includes(words)));

describe.each(["docs/asvs.md", "docs/security.md"])("%s", (document) => {
  const references = referencesIn(read(document));

  test("names tests", () => {
    expect(references.length).toBeGreaterThan(20);
  });

  test("every file that it names exists, and has the test that it quotes: one that runs", () => {
    expect(references.filter((reference) => !has(reference))).toEqual([]);
  });
});

test("docs/asvs.md: every row says something", () => {
  const rows = read("docs/asvs.md")
    .split("\n")
    .filter((line) => /^\| \d/.test(line));
  expect(rows.length).toBeGreaterThan(100);
  expect(rows.filter((row) => !/^\| [^|]+ \| [^|]{20,} \|$/.test(row))).toEqual([]);
});

/** Cases of the list that this service was tested against which concern what it has; numbers that are not here were left out of it. */
const cases = [
  ...[1, 2, 4, 5, 6, 7, 9, 10, 11, 12, 14, 15, 16, 18, 19, 20, 21, 22, 23, 24, 25, 27, 28, 29, 30, 32, 33, 34, 35, 37],
  ...[38, 40, 41, 42, 43, 44, 46, 47, 48, 49, 50, 51, 53, 54, 56, 57, 58, 59, 61, 63, 64],
  ...[65, 67, 68, 69, 70, 71, 72, 73, 75, 77, 78, 81, 82],
];
test("test/security: every attack case is in the name of a test, by its number", () => {
  const files = readdirSync(join(root, "test/security")).filter((name) => name.endsWith(".test.ts"));
  // `43 an old refresh token`, or with rows of ASVS among them: `2 15.3.6 __proto__ …`.
  const named = files
    .flatMap((name) => testNamesIn(read(join("test/security", name))))
    .flatMap((name) => /^((?:\d+(?:\.\d+)* )+).{10,}/.exec(name)?.[1]?.trim().split(" ") ?? []);
  expect(cases.filter((number) => !named.includes(String(number)))).toEqual([]);
});
