import { describe, expect, test } from "@jest/globals";
import { checker } from "../../../lib/checker.ts";

const check = checker({
  type: "object",
  strict: true,
  props: {
    id: { type: "number", integer: true },
    data: { type: "object", strict: true, props: { role: { type: "enum", values: ["CU", "CO"] } } },
  },
});

describe("checker", () => {
  test("what fits has no problem", () => {
    expect(check({ id: 1, data: { role: "CU" } })).toBeUndefined();
  });

  test.each([
    ["a field that is missing", { data: { role: "CU" } }, "id: required"],
    ["null", { id: null, data: { role: "CU" } }, "id: required"],
    ["of another type", { id: "a secret", data: { role: "CU" } }, "id: number"],
    ["deep inside", { id: 1, data: { role: "a secret" } }, "data.role: enumValue"],
    ["one too many", { id: 1, data: { role: "CU" }, extra: "a secret" }, ": objectStrict"],
    ["no object", "a secret", ": object"],
  ])("%s: field and kind, never the value", (_, value, problem) => {
    expect(check(value)).toBe(problem);
  });
});
