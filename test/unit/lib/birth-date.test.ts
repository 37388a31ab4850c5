import { describe, expect, test } from "@jest/globals";
import { ageOn, birthDateProblem } from "../../../lib/birth-date.ts";
import { bestTime, now } from "../helpers.ts";

const at = (time: string): number => Date.parse(time);
const wrongFormat = "Date has wrong format. Use one of these formats instead: YYYY-MM-DD.";

describe("ageOn", () => {
  test.each([
    ["the day before the birthday", "2026-03-14T23:59:59.999Z", 25],
    ["from midnight of the birthday", "2026-03-15T00:00:00Z", 26],
    ["the day after", "2026-03-16T00:00:00Z", 26],
    ["at the end of the year", "2026-12-31T23:59:59Z", 26],
    ["on the day of birth", "2000-03-15T00:00:00Z", 0],
  ])("born 2000-03-15, %s", (_, today, age) => {
    expect(ageOn("2000-03-15", at(today))).toBe(age);
  });

  test.each([
    ["28 February of a common year", "2025-02-28T12:00:00Z", 24],
    ["1 March of a common year", "2025-03-01T00:00:00Z", 25],
    ["28 February of a leap year", "2024-02-28T12:00:00Z", 23],
    ["29 February of a leap year", "2024-02-29T00:00:00Z", 24],
  ])("born on 29 February 2000, on %s", (_, today, age) => {
    expect(ageOn("2000-02-29", at(today))).toBe(age);
  });

  test("the day is UTC's, wherever the clock's owner is", () => {
    expect(ageOn("2000-03-15", at("2026-03-15T00:30:00+02:00"))).toBe(25);
  });
});

describe("birthDateProblem: days that are accepted", () => {
  test.each([
    ["an ordinary day", "1990-05-17"],
    ["29 February of a leap year", "2000-02-29"],
    ["today", "2026-03-15"],
    ["130 years ago today", "1896-03-15"],
    ["131 years ago tomorrow: still 130", "1895-03-16"],
  ])("%s", (_, day) => {
    expect(birthDateProblem(day, now)).toBeUndefined();
  });
});

describe("birthDateProblem: days that are refused", () => {
  test.each([
    ["31 February", "2000-02-31"],
    ["30 February", "2000-02-30"],
    ["29 February of a common year", "2001-02-29"],
    ["29 February 1900: divisible by 100", "1900-02-29"],
    ["31 April", "2000-04-31"],
    ["month 13", "2000-13-01"],
    ["month 0", "2000-00-10"],
    ["day 0", "2000-01-00"],
    ["day 32", "2000-01-32"],
    ["nothing", ""],
    ["two-digit year", "90-05-17"],
    ["one-digit month", "1990-5-17"],
    ["day first", "17.05.1990"],
    ["slashes", "1990/05/17"],
    ["a time behind it", "1990-05-17T00:00:00Z"],
    ["a space before it", " 1990-05-17"],
    ["a line break behind it", "1990-05-17\n"],
    ["NUL behind it", "1990-05-17\u0000"],
    ["Arabic digits", "١٩٩٠-٠٥-١٧"],
    ["a negative year", "-1990-05-17"],
    ["a six-digit year", "+001990-05-17"],
    ["a number", "19900517"],
    ["words", "yesterday"],
  ])("%s has a wrong format", (_, day) => {
    expect(birthDateProblem(day, now)).toBe(wrongFormat);
  });

  test("tomorrow lies in the future", () => {
    expect(birthDateProblem("2026-03-16", now)).toBe("The birth date lies in the future.");
  });

  test.each(["1895-03-15", "0001-01-01", "0000-01-01"])("%s lies more than 130 years ago", (day) => {
    expect(birthDateProblem(day, now)).toBe("The birth date lies more than 130 years ago.");
  });

  test("100 KB of digits are refused at once", () => {
    expect(bestTime(() => expect(birthDateProblem("1".repeat(100_000), now)).toBe(wrongFormat))).toBeLessThan(50);
  });
});
