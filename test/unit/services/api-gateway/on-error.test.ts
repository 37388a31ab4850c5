import { describe, expect, test } from "@jest/globals";
import Fastify from "fastify";
import { Errors, Validators } from "moleculer";
import { errorList, invalidFields, ServiceError, type ErrorCode } from "../../../../lib/errors.ts";
import { validatorOptions, type Shape } from "../../../../lib/schema.ts";
import { errorHandler, sendError } from "../../../../services/api-gateway/on-error.ts";
import { memoryLog } from "../../helpers.ts";

/** The answer to a request whose handler throws, and what was logged about it. */
async function answerTo(error: unknown) {
  const log = memoryLog();
  const server = Fastify({ genReqId: () => "request-1" });
  server.setErrorHandler(errorHandler(log));
  server.get("/", () => {
    throw error;
  });
  const { statusCode: status, headers, body } = await server.inject("/");
  return { status, headers, body, json: JSON.parse(body) as unknown, log };
}
const publicAnswer = (code: ErrorCode) => ({ detail: errorList[code].detail, code });
const coded = (code: string, statusCode?: number) =>
  Object.assign(new Error("secret words"), { code, ...(statusCode !== undefined && { statusCode }) });

describe("errorHandler: our own errors", () => {
  test.each((Object.keys(errorList) as ErrorCode[]).filter((code) => code !== "internal_error"))(
    "%s: status, sentence and code of the list, and nothing in the log",
    async (code) => {
      const { status, json, headers, log } = await answerTo(new ServiceError(code, {}, { message: "for the log" }));
      expect([status, json]).toEqual([errorList[code].status, publicAnswer(code)]);
      expect(headers["content-type"]).toBe("application/json; charset=utf-8");
      expect(log.lines).toEqual([]);
    },
  );

  test("one that came over the transporter has lost its class and kept its type", async () => {
    const remote = new Errors.MoleculerError("x", 401, "invalid_credentials", { nodeID: "node-1" });
    const { status, json } = await answerTo(remote);
    expect([status, json]).toEqual([401, publicAnswer("invalid_credentials")]);
  });

  test.each([
    ["flat", { email: "taken" }, { email: ["taken"] }],
    ["nested", { "user_profile.phone": "bad" }, { user_profile: { phone: ["bad"] } }],
    [
      "both, and two in one object",
      { email: "taken", "user_profile.phone": "bad", "user_profile.birth_date": "young" },
      { email: ["taken"], user_profile: { phone: ["bad"], birth_date: ["young"] } },
    ],
    [
      "an object and something inside it",
      { user_profile: "no", "user_profile.phone": "bad" },
      { user_profile: { phone: ["bad"] } },
    ],
  ])("fields: %s", async (_, fields, body) => {
    const { status, json } = await answerTo(invalidFields(fields));
    expect([status, json]).toEqual([400, body]);
  });
});

describe("errorHandler: headers", () => {
  test.each([
    ["as the error says", new ServiceError("too_many_requests", { retryAfterSeconds: 37 }), "37"],
    ["two seconds, when a 503 says nothing", new ServiceError("unavailable"), "2"],
    [
      "two seconds, when the broker gave up",
      new Errors.RequestTimeoutError({ action: "auth.login", nodeID: "node-1" }),
      "2",
    ],
  ])("retry-after: %s", async (_, error, seconds) => {
    expect((await answerTo(error)).headers["retry-after"]).toBe(seconds);
  });

  test.each(["invalid_input", "not_authenticated", "not_found", "internal_error"] as const)(
    "%s has none",
    async (code) => {
      expect((await answerTo(new ServiceError(code, { retryAfterSeconds: 9 }))).headers).not.toHaveProperty(
        "retry-after",
      );
    },
  );

  test.each([
    "not_authenticated",
    "invalid_token",
    "session_ended",
    "inactive_account",
    "invalid_credentials",
  ] as const)("%s asks for a bearer token, 403 does not", async (code) => {
    expect((await answerTo(new ServiceError(code))).headers["www-authenticate"]).toBe("Bearer");
    expect((await answerTo(new ServiceError("permission_denied"))).headers).not.toHaveProperty("www-authenticate");
  });
});

describe("errorHandler: the broker's errors", () => {
  const where = { action: "auth.login", nodeID: "node-1" };
  const away = [
    new Errors.ServiceNotFoundError(where),
    new Errors.ServiceNotAvailableError(where),
    new Errors.RequestTimeoutError(where),
    new Errors.RequestSkippedError(where),
    new Errors.RequestRejectedError(where),
    new Errors.QueueIsFullError(where),
    // The types ask for arguments that the class does not take.
    new (Errors.BrokerDisconnectedError as unknown as new () => Error)(),
  ];

  test.each(away.map((error) => [error.name, error] as const))("%s: 503, and no node or action", async (_, error) => {
    const { status, json, log } = await answerTo(error);
    expect([status, json]).toEqual([503, publicAnswer("unavailable")]);
    expect(log.lines).toEqual([]);
  });

  test("calls nested too deep are our fault", async () => {
    const { status, json } = await answerTo(
      new Errors.MaxCallLevelError({ action: "auth.login", level: 10, nodeID: "node-1" }),
    );
    expect([status, json]).toEqual([500, publicAnswer("internal_error")]);
  });
});

describe("errorHandler: Fastify's errors", () => {
  test.each<[string, number, ErrorCode]>([
    ["FST_ERR_CTP_BODY_TOO_LARGE", 413, "body_too_large"],
    ["FST_ERR_CTP_INVALID_MEDIA_TYPE", 415, "unsupported_media_type"],
    ["FST_ERR_CTP_INVALID_CONTENT_LENGTH", 400, "malformed_request"],
    ["FST_ERR_BAD_URL", 400, "malformed_request"],
    ["FST_ERR_SOMETHING_NEW", 400, "malformed_request"],
    ["FST_ERR_SOMETHING_NEW", 500, "internal_error"],
  ])("%s with %d: %s", async (code, statusCode, expected) => {
    const { status, json, body } = await answerTo(coded(code, statusCode));
    expect([status, json]).toEqual([errorList[expected].status, publicAnswer(expected)]);
    expect(body).not.toContain("secret words");
  });
});

describe("errorHandler: the validator's errors", () => {
  const shape: Shape = {
    email: { type: "string", max: 5 },
    password: { type: "string", min: 8, pattern: "^[a-z]+$" },
    name: { type: "string", empty: false },
    keep: { type: "boolean" },
    count: { type: "number", integer: true, min: 1, max: 9 },
    role: { type: "enum", values: ["CU", "CO"] },
    user_profile: { type: "object", strict: true, props: { phone: { type: "string" } } },
  };
  const good = {
    email: "a@b.c",
    password: "abcdefgh",
    name: "A",
    keep: true,
    count: 1,
    role: "CU",
    user_profile: { phone: "1" },
  };
  /** Refused by the validator as the broker makes it, and thrown as the broker throws it. */
  const refused = (changes: Record<string, unknown>) => {
    const params = { ...good, ...changes };
    const validator = new Validators.Fastest(validatorOptions);
    const result: unknown = (validator.compile({ $$strict: true, ...shape }) as unknown as (p: object) => unknown)(
      params,
    );
    expect(result).toBeInstanceOf(Array);
    return answerTo(new Errors.ValidationError("Parameters validation error!", "VALIDATION_ERROR", result as object));
  };

  test.each<[string, Record<string, unknown>, object]>([
    ["missing", { email: undefined }, { email: ["This field is required."] }],
    ["null", { email: null }, { email: ["This field is required."] }],
    ["no string", { email: ["a@b.c"] }, { email: ["Not a valid string."] }],
    ["too short", { password: "abc" }, { password: ["Ensure this field has at least 8 characters."] }],
    ["too long", { email: "a@b.co" }, { email: ["Ensure this field has no more than 5 characters."] }],
    ["empty", { name: "" }, { name: ["This field may not be blank."] }],
    ["no boolean", { keep: "yes" }, { keep: ["Must be a valid boolean."] }],
    ["no number", { count: "3" }, { count: ["A valid integer is required."] }],
    ["no integer", { count: 1.5 }, { count: ["A valid integer is required."] }],
    ["too small", { count: 0 }, { count: ["Ensure this value is greater than or equal to 1."] }],
    ["too large", { count: 10 }, { count: ["Ensure this value is less than or equal to 9."] }],
    ["no choice", { role: "MO" }, { role: ["Not a valid choice."] }],
    ["no object", { user_profile: [] }, { user_profile: ["Expected an object."] }],
    ["inside an object", { user_profile: {} }, { user_profile: { phone: ["This field is required."] } }],
    ["a pattern", { password: "ABCDEFGH" }, { password: ["This value is not valid."] }],
  ])("%s", async (_, changes, body) => {
    const { status, json, log } = await refused(changes);
    expect([status, json, log.lines]).toEqual([400, body, []]);
  });

  test("all fields at once", async () => {
    const { json } = await refused({ email: 1, keep: 1, user_profile: { phone: 1 } });
    expect(Object.keys(json as object).sort()).toEqual(["email", "keep", "user_profile"]);
  });

  test("the value that was refused stands nowhere in the answer (SECURITY.md B.23)", async () => {
    const { body } = await refused({
      password: "MySecretPassword1",
      email: "someone@example.com",
      role: "SUPERUSER",
      count: 777,
    });
    expect(body).not.toMatch(/MySecretPassword1|someone@|SUPERUSER|777/);
  });

  test("nor does the name of a key that nobody knows", async () => {
    const { status, json } = await refused({ "<script>": 1, is_staff: true });
    expect([status, json]).toEqual([400, { non_field_errors: ["This value is not valid."] }]);
  });

  test("one whose entries have been lost is still a 400 without them", async () => {
    const { status, json } = await answerTo(new Errors.ValidationError("x", "VALIDATION_ERROR", { nodeID: "node-1" }));
    expect(status).toBe(400);
    expect(JSON.stringify(json)).not.toContain("node-1");
  });
});

describe("errorHandler: everything else", () => {
  const secretive = Object.assign(
    new Error('duplicate key (email)=(anna@example.com) in "users" at db.internal:5432'),
    {
      code: "23505",
      detail: "Key (email)=(anna@example.com) already exists.",
      data: { fields: { password: "hunter2" }, retryAfterSeconds: 99 },
    },
  );

  test("is a 500 with the code alone: no SQL, host, stack, value or field", async () => {
    const { status, body, headers } = await answerTo(secretive);
    expect(status).toBe(500);
    expect(JSON.parse(body)).toEqual({ detail: "Something went wrong.", code: "internal_error" });
    expect(JSON.stringify(headers)).not.toMatch(/anna|db\.internal|99/);
  });

  test("is logged with its reason, its stack and the request", async () => {
    const { log } = await answerTo(secretive);
    expect(log.lines).toEqual([
      {
        level: "error",
        message: "a request failed",
        fields: { request_id: "request-1", reason: secretive.message, stack: secretive.stack },
      },
    ]);
  });

  test.each<[string, unknown]>([
    ["a type that we do not know", new Errors.MoleculerError("secret words", 418, "TEAPOT", { secret: "words" })],
    ["a type that is a word of Object's own", Object.assign(new Error("secret words"), { type: "toString" })],
    ["a code that is a word of Object's own", coded("constructor")],
    ["a status that is no number", Object.assign(new Error("secret words"), { statusCode: "four hundred" })],
    ["a programming error", new TypeError("secret words")],
    ["a string", "secret words"],
    ["an object", { type: "not_found", data: { fields: { a: "secret words" } } }],
  ])("%s", async (_, error) => {
    const { status, body } = await answerTo(error);
    expect([status, JSON.parse(body)]).toEqual([500, publicAnswer("internal_error")]);
  });
});

describe("sendError", () => {
  test("answers without an error having been thrown", async () => {
    const server = Fastify();
    server.setNotFoundHandler((_, reply) => sendError(reply, "not_found"));
    const answer = await server.inject("/nowhere");
    expect([answer.statusCode, answer.json()]).toEqual([404, publicAnswer("not_found")]);
  });
});
