import { describe, expect, test } from "@jest/globals";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

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
    return { file, words: match[2] ?? match[3] ?? "" };
  });
}
/** Line ends and the quotes of the language left out: a name may be written over several lines, or with an escaped quote. */
const plain = (text: string): string => text.replaceAll(/\\(?=["'`])/g, "").replaceAll(/\s+/g, " ");

describe.each(["docs/asvs.md", "docs/security.md"])("%s", (document) => {
  const references = referencesIn(read(document));

  test("names tests", () => {
    expect(references.length).toBeGreaterThan(20);
  });

  test("every file that it names exists, and has the test that it quotes", () => {
    const missing = references.filter(
      ({ file, words }) => !existsSync(join(root, file)) || !plain(read(file)).includes(plain(words)),
    );
    expect(missing).toEqual([]);
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
  const text = files.map((name) => read(join("test/security", name))).join("\n");
  // `"43 an old refresh token"`, or with rows of ASVS among them: `"2 15.3.6 __proto__ …"`.
  const named = [...text.matchAll(/["`]((?:\d+(?:\.\d+)* )+)[^"`\n]{10,}/g)].flatMap(([, numbers = ""]) =>
    numbers.trim().split(" "),
  );
  expect(cases.filter((number) => !named.includes(String(number)))).toEqual([]);
});
