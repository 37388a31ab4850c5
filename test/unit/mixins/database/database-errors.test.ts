import { describe, expect, test } from "@jest/globals";
import pg from "pg";
import { ServiceError } from "../../../../lib/errors.ts";
import {
  databaseErrorMapped,
  isConnectionLost,
  isRepeatable,
  isUniqueViolation,
} from "../../../../mixins/database/database-errors.ts";

/** As the driver makes it of what the server said. */
function serverError(code: string, constraint?: string): pg.DatabaseError {
  const error = new pg.DatabaseError("words of the server about db.internal", 1, "error");
  error.code = code;
  if (constraint !== undefined) error.constraint = constraint;
  return error;
}
const socketError = (code: string) => Object.assign(new Error("socket"), { code });
const away = { type: "unavailable", code: 503, data: { retryAfterSeconds: 2 } };

describe("databaseErrorMapped: the database is away, busy or too slow", () => {
  test.each([
    ["connection exception", "08000"],
    ["connection failure", "08006"],
    ["too many connections", "53300"],
    ["disk full", "53100"],
    ["statement cancelled", "57014"],
    ["shut down by the administrator", "57P01"],
    ["crash", "57P02"],
    ["starting up", "57P03"],
    ["lock not available", "55P03"],
    ["a read-only standby", "25006"],
    ["idle in transaction for too long", "25P03"],
    ["serialisation failure, again and again", "40001"],
    ["deadlock, again and again", "40P01"],
  ])("%s (%s)", (_, code) => {
    const error = serverError(code);
    const mapped = databaseErrorMapped(error);
    expect(mapped).toMatchObject({ ...away, message: "Try again later." });
    expect((mapped as Error).cause).toBe(error);
  });

  test.each([
    "ECONNREFUSED",
    "ECONNRESET",
    "EPIPE",
    "EHOSTUNREACH",
    "ENETUNREACH",
    "ENOTFOUND",
    "EAI_AGAIN",
    "ETIMEDOUT",
  ])("%s", (code) => {
    expect(databaseErrorMapped(socketError(code))).toMatchObject(away);
  });

  test.each([
    "timeout exceeded when trying to connect",
    "Query read timeout",
    "Connection terminated unexpectedly",
    "Connection terminated due to connection timeout",
    "Client has encountered a connection error and is not queryable: the connection was closed",
  ])("the driver's words: %s", (message) => {
    expect(databaseErrorMapped(new Error(message))).toMatchObject(away);
  });
});

describe("databaseErrorMapped: everything else stays as it is", () => {
  test.each<[string, unknown]>([
    ["a unique violation", serverError("23505", "users_email_unique")],
    ["a check violation", serverError("23514")],
    ["a syntax error", serverError("42601")],
    ["a missing table", serverError("42P01")],
    ["an invalid byte sequence", serverError("22021")],
    ["a transaction that has failed already", serverError("25P02")],
    ["one of ours", new ServiceError("session_ended")],
    ["a programming error", new TypeError("x is not a function")],
    [
      "a programming error about a column that ends in a suspicious word",
      new TypeError("Cannot read properties of undefined (reading 'ended_at')"),
    ],
    ["a text", "connection terminated"],
    ["nothing", undefined],
  ])("%s", (_, error) => {
    expect(databaseErrorMapped(error)).toBe(error);
  });
});

describe("isConnectionLost", () => {
  test("is about connections, not about what the server answered", () => {
    expect(isConnectionLost(socketError("ECONNRESET"))).toBe(true);
    expect(isConnectionLost(serverError("57P01"))).toBe(false);
  });

  test("one of our errors is none, whatever its words", () => {
    expect(isConnectionLost(new ServiceError("unavailable", {}, { message: "timeout" }))).toBe(false);
  });
});

describe("isRepeatable", () => {
  test.each([
    ["40001", true],
    ["40P01", true],
    ["23505", false],
    ["57014", false],
    ["55P03", false],
  ])("%s: %s", (code, repeatable) => {
    expect(isRepeatable(serverError(code))).toBe(repeatable);
  });

  test.each([Object.assign(new Error("x"), { code: "40001" }), undefined, "40001"])(
    "only the server says so",
    (error) => {
      expect(isRepeatable(error)).toBe(false);
    },
  );
});

describe("isUniqueViolation", () => {
  test("is about the constraint that was asked for", () => {
    const error = serverError("23505", "users_email_unique");
    expect(isUniqueViolation(error, "users_email_unique")).toBe(true);
    expect(isUniqueViolation(error, "users_pkey")).toBe(false);
  });

  test.each([serverError("23503", "users_email_unique"), new Error("users_email_unique"), undefined])(
    "nothing else is",
    (error) => {
      expect(isUniqueViolation(error, "users_email_unique")).toBe(false);
    },
  );
});
