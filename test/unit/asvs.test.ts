import { describe, expect, test } from "@jest/globals";
import { existsSync, readFileSync } from "node:fs";
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
