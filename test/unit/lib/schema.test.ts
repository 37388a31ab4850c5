import { describe, expect, test } from "@jest/globals";
import { Validators } from "moleculer";
import { rule, ruleToJsonSchema, toJsonSchema, validatorOptions, type Rule, type Shape } from "../../../lib/schema.ts";

type Check = (params: object) => true | { type: string; field?: string }[];

/** The validator as the broker makes it (moleculer.config.ts, lib/actions.ts). */
function validate(shape: Shape, params: object, unknown: true | "remove" = true) {
  const check = new Validators.Fastest(validatorOptions).compile({ $$strict: unknown, ...shape }) as unknown as Check;
  const result = check(params);
  return result === true ? "valid" : result.map(({ type, field }) => `${field ?? ""}: ${type}`);
}

describe("toJsonSchema", () => {
  test("required is what is neither optional nor has a default; nothing else is allowed", () => {
    const shape = {
      a: { type: "string" },
      b: { type: "string", optional: true },
      c: { type: "boolean", default: false },
    } as const;
    expect(toJsonSchema(shape)).toEqual({
      type: "object",
      properties: { a: { type: "string" }, b: { type: "string" }, c: { type: "boolean", default: false } },
      required: ["a"],
      additionalProperties: false,
    });
  });

  test("an open shape does not forbid other properties, an empty one requires none", () => {
    expect(toJsonSchema({}, true)).toEqual({ type: "object", properties: {} });
  });
});

describe("ruleToJsonSchema", () => {
  const cases: readonly (readonly [string, Rule, object])[] = [
    ["a string with limits", { type: "string", min: 2, max: 5 }, { type: "string", minLength: 2, maxLength: 5 }],
    ["a string of one length", { type: "string", length: 36 }, { type: "string", minLength: 36, maxLength: 36 }],
    ["a string that is not empty", { type: "string", empty: false }, { type: "string", minLength: 1 }],
    [
      "a string with pattern and format",
      { type: "string", pattern: "^a", format: "email" },
      { type: "string", pattern: "^a", format: "email" },
    ],
    ["a number", { type: "number", min: 0, max: 9 }, { type: "number", minimum: 0, maximum: 9 }],
    ["an integer", { type: "number", integer: true }, { type: "integer" }],
    ["an enumeration of words", { type: "enum", values: ["a", "b"] }, { type: "string", enum: ["a", "b"] }],
    ["an enumeration of numbers", { type: "enum", values: [1, 2] }, { type: "number", enum: [1, 2] }],
    [
      "an array",
      { type: "array", items: { type: "boolean" }, max: 3 },
      { type: "array", items: { type: "boolean" }, maxItems: 3 },
    ],
    [
      "an object that drops what it does not know",
      { type: "object", strict: "remove", props: { a: { type: "string" } } },
      { type: "object", properties: { a: { type: "string" } }, required: ["a"] },
    ],
    [
      "one of several, in an answer",
      { type: "either", of: [{ type: "string" }, { type: "boolean" }] },
      { anyOf: [{ type: "string" }, { type: "boolean" }] },
    ],
    ["something nullable", { type: "string", nullable: true }, { type: ["string", "null"] }],
    [
      "a nullable enumeration",
      { type: "enum", values: ["a"], nullable: true },
      { anyOf: [{ type: "string", enum: ["a"] }, { type: "null" }] },
    ],
    [
      "description, example and a default that is falsy",
      { type: "number", description: "Why.", example: 0, default: 0 },
      { type: "number", description: "Why.", examples: [0], default: 0 },
    ],
  ];
  test.each(cases)("%s", (_, from, schema) => {
    expect(ruleToJsonSchema(rule(from))).toEqual(schema);
  });
});

describe("the validator with our options", () => {
  const shape = {
    email: { type: "string", max: 5 },
    note: { type: "string", optional: true },
    keep: { type: "boolean", default: false },
    role: { type: "enum", values: ["CU", "CO"], optional: true },
    profile: { type: "object", strict: "remove", optional: true, props: { name: { type: "string" } } },
  } as const;
  const good = { email: "a@b.c" };

  test("fills in a default and leaves alone what may be absent", () => {
    const params = { ...good };
    expect(validate(shape, params)).toBe("valid");
    expect(params).toEqual({ email: "a@b.c", keep: false });
  });

  test.each([
    ["a string", { email: null }, "email: required"],
    ["what is optional", { ...good, note: null }, "note: required"],
    ["an enumeration", { ...good, role: null }, "role: required"],
    ["an object", { ...good, profile: null }, "profile: required"],
    ["a property of an object", { ...good, profile: { name: null } }, "profile.name: required"],
  ])("null is refused for %s", (_, params, problem) => {
    expect(validate(shape, params)).toEqual([problem]);
  });

  test("null for what has a default counts as left out: fastest-validator fills it in", () => {
    const params = { ...good, keep: null };
    expect(validate(shape, params)).toBe("valid");
    expect(params.keep).toBe(false);
  });

  test("null is taken where a rule says so", () => {
    expect(validate({ a: { type: "number", nullable: true } }, { a: null })).toBe("valid");
  });

  test.each([
    ["an array", { email: ["a@b.c", "d@e.f"] }],
    ["an object", { email: { $ne: "" } }],
    ["an object with a length", { email: { length: 3 } }],
    ["a number", { email: 1 }],
    ["a boolean", { email: true }],
  ])("%s is not a string", (_, params) => {
    expect(validate(shape, params)).toEqual(["email: string"]);
  });

  test.each([1, 0, "true", "false", "on", [], {}])("%j is not a boolean", (keep) => {
    expect(validate(shape, { ...good, keep })).toEqual(["keep: boolean"]);
  });

  test.each(["1", "1e3", NaN, Infinity, 1.5, [1]])("%j is not an integer", (id) => {
    expect(validate({ id: { type: "number", integer: true } }, { id })).not.toBe("valid");
  });

  test("an unlisted property is refused, or dropped where the original's clients send some", () => {
    expect(validate(shape, { ...good, is_staff: true })).toEqual([": objectStrict"]);
    const params = { ...good, is_staff: true, profile: { name: "Anna", age: 3 } };
    expect(validate(shape, params, "remove")).toBe("valid");
    expect(params).toEqual({ ...good, keep: false, profile: { name: "Anna" } });
  });

  test("a string is not trimmed, changed or emptied by itself", () => {
    const params = { email: " A " };
    expect(validate(shape, params)).toBe("valid");
    expect(params.email).toBe(" A ");
  });
});
