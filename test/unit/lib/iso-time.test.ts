import { describe, expect, test } from "@jest/globals";
import { readIsoTime } from "../../../lib/iso-time.ts";

describe("readIsoTime", () => {
  test.each([
    ["2026-12-31", Date.UTC(2026, 11, 31)],
    ["2026-12-31T18:00:00Z", Date.UTC(2026, 11, 31, 18)],
    ["2026-12-31T18:00:00.123456Z", Date.UTC(2026, 11, 31, 18, 0, 0, 123)],
    ["2024-02-29", Date.UTC(2024, 1, 29)],
  ])("%s: its milliseconds", (text, milliseconds) => {
    expect(readIsoTime(text)).toBe(milliseconds);
  });

  test.each([
    "",
    "2026",
    "2026-02-29",
    "2026-13-01",
    "2026-12-31T25:00:00Z",
    "2026-12-31T18:00:00",
    "2026-12-31T18:00:00+01:00",
    "0000-01-01",
    "+12026-12-31",
    "yesterday",
    "2026-12-31'; drop table users",
  ])("%j: none", (text) => {
    expect(readIsoTime(text)).toBeUndefined();
  });
});
