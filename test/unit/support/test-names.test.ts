import { expect, test } from "@jest/globals";
import { testNamesIn } from "../../support/test-names.ts";

test("testNamesIn: names of tests and groups that run, and the strings of their tables", () => {
  const text = `
    describe("a group", () => {
      test("a \\"test\\"", () => undefined);
      test.each([["a row", () => "no name"], ["another", 1]])("of %s", () => undefined);
      describe.each(["each"])(\`group \${"of"} %s\`, () => test("inside", () => undefined));
    });
    describeWithKafka("with a broker", () => undefined);
    (hasIpv6 ? test : test.skip)("where it can", () => undefined);
  `;
  expect(testNamesIn(text).toSorted()).toEqual(
    [
      ...["a group", 'a "test"', "a row", "another", "of %s", "each", 'group ${"of"} %s', "inside"],
      ...["with a broker", "where it can"],
    ].toSorted(),
  );
});

test.each([
  ["a comment", '// test("gone")'],
  ["a block of comments", '/* test("gone", () => undefined); */'],
  ["a test that is skipped", 'test.skip("gone", () => undefined)'],
  ["a table that is skipped", 'test.skip.each(["gone"])("gone %s", () => undefined)'],
  ["a group that is skipped", 'describe.skip("gone", () => { test("gone", () => undefined); })'],
  ["one that is skipped in another way", 'xdescribe("gone", () => { test("gone", () => undefined); })'],
  ["one that is to be written", 'test.todo("gone")'],
  ["the body of a test", 'test("name", () => { expect("gone").toBe("gone"); })'],
  ["a regular expression", 'if (/a/.test("gone")) log("gone")'],
])("testNamesIn: %s is none", (_, text) => {
  expect(testNamesIn(text).join()).not.toContain("gone");
});
