import { describe, expect, test } from "@jest/globals";
import { parseJsonBody } from "../../../../services/api-gateway/json-body.ts";
import { bestTime, thrown } from "../../helpers.ts";

const refusal = (text: string): unknown => (thrown(() => parseJsonBody(text)) as { type?: unknown }).type;
const nested = (depth: number, inside: string): string => '{"a":'.repeat(depth) + inside + "}".repeat(depth);

describe("parseJsonBody: what is read", () => {
  test.each([
    ["an object", '{"a":1,"b":{"c":[true,null,"x"]}}', { a: 1, b: { c: [true, null, "x"] } }],
    ["an empty object", " {} ", {}],
    ["nothing", "", {}],
    ["only space", " \r\n\t", {}],
    ["an empty key", '{"":1}', { "": 1 }],
    [
      "words that hold a forbidden one",
      '{"__proto":1,"constructors":2,"Prototype":3}',
      { __proto: 1, constructors: 2, Prototype: 3 },
    ],
    ["a forbidden word as a value", '{"a":"__proto__","b":["constructor"]}', { a: "__proto__", b: ["constructor"] }],
    ["lone surrogates and U+2028", '{"a":"\\ud800\u2028"}', { a: "\ud800\u2028" }],
  ])("%s", (_, text, body) => {
    expect(parseJsonBody(text)).toEqual(body);
  });

  test("of two keys with one name the last counts", () => {
    expect(parseJsonBody('{"role":"CU","role":"CO"}')).toEqual({ role: "CO" });
  });

  test("names of Object's own that reach no prototype are ordinary keys", () => {
    expect(Object.keys(parseJsonBody('{"toString":1,"hasOwnProperty":2}'))).toEqual(["toString", "hasOwnProperty"]);
  });

  test("a body 32 deep, objects or lists", () => {
    expect(() => parseJsonBody(nested(31, "1"))).not.toThrow();
    expect(() => parseJsonBody(`{"a":${"[".repeat(31)}${"]".repeat(31)}}`)).not.toThrow();
  });
});

describe("parseJsonBody: keys that are refused", () => {
  const keys = ["__proto__", "constructor", "prototype"];

  test.each(
    keys.flatMap((key) =>
      [
        ["at the top", `{"${key}":{"role":"MO"}}`],
        ["beside others", `{"email":"a@b.co","${key}":1}`],
        ["one down", `{"user_profile":{"${key}":1}}`],
        ["in an array", `{"a":[1,{"${key}":1}]}`],
        ["in an array in an array", `{"a":[[[{"b":{"${key}":null}}]]]}`],
        ["20 down", nested(20, `{"${key}":1}`)],
        ["as the first of two", `{"${key}":1,"${key}":2}`],
        ["inside another one's value", `{"a":{"b":1,"c":{"${key}":{}}}}`],
      ].map(([where, text]) => [key, where, text] as const),
    ),
  )("%s %s", (_key, _where, text) => {
    expect(refusal(text!)).toBe("forbidden_key");
  });

  test.each(['{"\\u005f_proto__":1}', '{"\\u005f\\u005f\\u0070roto\\u005f\\u005f":1}', '{"\\u0063onstructor":1}'])(
    "%s: escaped",
    (text) => {
      expect(refusal(text)).toBe("forbidden_key");
    },
  );

  test("Object's prototype is as it was", () => {
    refusal('{"__proto__":{"polluted":true}}');
    refusal('{"constructor":{"prototype":{"polluted":true}}}');
    expect({}).not.toHaveProperty("polluted");
  });
});

describe("parseJsonBody: what is nested too deep for whoever walks it by recursion", () => {
  test.each([
    ["33 objects", nested(33, "1")],
    ["7,000 objects", nested(7000, "1")],
    ["7,000 lists", `{"a":${"[".repeat(7000)}${"]".repeat(7000)}}`],
  ])("%s: refused in no time", (_, text) => {
    expect(refusal(text)).toBe("malformed_body");
    expect(bestTime(() => refusal(text))).toBeLessThan(50);
  });
});

describe("parseJsonBody: what is no object", () => {
  test.each([
    ["an array", "[]"],
    ["an array of objects", "[{}]"],
    ["null", "null"],
    ["a string", '"a"'],
    ["a number", "1"],
    ["a boolean", "true"],
    ["half an object", '{"a":'],
    ["two objects", "{}{}"],
    ["single quotes", "{'a':1}"],
    ["a comma too many", '{"a":1,}'],
    ["a comment", '{"a":1}//'],
    ["NaN", '{"a":NaN}'],
    ["a form", "email=a%40b.co&password=x"],
    ["a byte order mark", '\ufeff{"a":1}x'],
    ["a raw line break in a string", '{"a":"\n"}'],
    ["100,000 open brackets", "[".repeat(100_000)],
  ])("%s is malformed", (_, text) => {
    expect(refusal(text)).toBe("malformed_body");
  });

  test("the refusal tells nothing of the body", () => {
    const error = thrown(() => parseJsonBody('{"password":"secret-of-mine"')) as Error;
    expect([error.message, error.cause]).toEqual(["The request body is not valid JSON.", undefined]);
  });
});
