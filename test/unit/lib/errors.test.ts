import { describe, expect, test } from "@jest/globals";
import { Errors } from "moleculer";
import { errorList, errorType, invalidFields, isErrorCode, readTogether, ServiceError } from "../../../lib/errors.ts";
import { thrown, type Same } from "../helpers.ts";

describe("the list of errors", () => {
  test("has only client errors, one 500 and one 503, each with a sentence", () => {
    for (const [code, { status, detail }] of Object.entries(errorList)) {
      expect(code).toMatch(/^[a-z_]+$/);
      expect([400, 401, 403, 404, 405, 409, 413, 415, 429, 500, 503]).toContain(status);
      expect(detail).not.toBe("");
    }
  });

  test.each([
    ["invalid_credentials", 401, "No active account found with the given credentials"],
    ["email_already_verified", 400, "Email has already been verified"],
  ] as const)("%s keeps the original's words", (code, status, detail) => {
    expect(errorList[code]).toEqual({ status, detail });
  });
});

describe("ServiceError", () => {
  test("carries type, status and data as plain properties, which survive the transporter", () => {
    const error = new ServiceError("too_many_requests", { retryAfterSeconds: 9 });
    expect(error).toMatchObject({
      name: "ServiceError",
      type: "too_many_requests",
      code: 429,
      data: { retryAfterSeconds: 9 },
      message: "Too many requests. Try again later.",
    });
  });

  test("may have a message and a cause for the log", () => {
    const cause = new Error("why");
    const error = new ServiceError("unavailable", {}, { message: "the database is away", cause });
    expect([error.message, error.cause, error.data]).toEqual(["the database is away", cause, {}]);
  });
});

describe("errorType", () => {
  test("is the type of ours and of the broker's errors", () => {
    expect(errorType(new ServiceError("not_found"))).toBe("not_found");
    expect(errorType(new Errors.MoleculerError("x", 400, "SOME_TYPE"))).toBe("SOME_TYPE");
  });

  test.each([
    ["an error without a type", new Error("x")],
    ["a type that is no string", Object.assign(new Error("x"), { type: 7 })],
    ["no error", { type: "not_found" }],
    ["a string", "not_found"],
    ["nothing", undefined],
    ["null", null],
  ])("%s has none", (_, error) => {
    expect(errorType(error)).toBeUndefined();
  });
});

describe("isErrorCode", () => {
  test.each(["toString", "constructor", "__proto__", "hasOwnProperty", "VALIDATION_ERROR", "", undefined])(
    "%s is none",
    (type) => {
      expect(isErrorCode(type)).toBe(false);
    },
  );

  test("every key of the list is one", () => {
    expect(Object.keys(errorList).every(isErrorCode)).toBe(true);
  });
});

describe("readTogether", () => {
  const refuse = (field: string) => (): string => {
    throw invalidFields({ [field]: `${field} is wrong` });
  };

  test("gives what each reader read, in their order and with their types", () => {
    const results = readTogether(
      () => 1,
      () => "two",
      () => undefined,
    );
    const same: Same<typeof results, [number, string, undefined]> = true;
    expect([same, ...results]).toEqual([true, 1, "two", undefined]);
  });

  test("names the fields of all readers that refuse, in one error", () => {
    const error = thrown(() => readTogether(refuse("email"), () => 1, refuse("password")));
    expect(error).toMatchObject({
      type: "invalid_input",
      data: { fields: { email: "email is wrong", password: "password is wrong" } },
    });
  });

  test("runs every reader although the first refuses", () => {
    let ran = false;
    thrown(() => readTogether(refuse("email"), () => (ran = true)));
    expect(ran).toBe(true);
  });

  test.each([
    ["a programming error", new TypeError("x is not a function")],
    ["a refusal that names no field", new ServiceError("unavailable")],
  ])("%s is thrown on as it is", (_, error) => {
    const fail = () => {
      throw error;
    };
    expect(thrown(() => readTogether(refuse("email"), fail))).toBe(error);
  });

  test("without readers there is nothing to refuse", () => {
    expect(readTogether()).toEqual([]);
  });
});
