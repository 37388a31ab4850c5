import type { FastifyReply, FastifyRequest } from "fastify";
import { errorList, errorType, isErrorCode, type ErrorCode, type FieldErrors } from "../../lib/errors.ts";
import type { Log } from "../../lib/log.ts";

/** What other layers say -> what we say. Moleculer's own types, then Fastify's codes. */
const translations = new Map<string, ErrorCode>(
  Object.entries({
    VALIDATION_ERROR: "invalid_input",
    SERVICE_NOT_FOUND: "unavailable",
    SERVICE_NOT_AVAILABLE: "unavailable",
    REQUEST_TIMEOUT: "unavailable",
    REQUEST_SKIPPED: "unavailable",
    REQUEST_REJECTED: "unavailable",
    QUEUE_FULL: "unavailable",
    BAD_GATEWAY: "unavailable",
    FST_ERR_CTP_BODY_TOO_LARGE: "body_too_large",
    FST_ERR_CTP_INVALID_MEDIA_TYPE: "unsupported_media_type",
    FST_ERR_CTP_INVALID_CONTENT_LENGTH: "malformed_request",
    FST_REQ_FILE_TOO_LARGE: "body_too_large",
    FST_FILES_LIMIT: "body_too_large",
    FST_FIELDS_LIMIT: "body_too_large",
    FST_PARTS_LIMIT: "body_too_large",
    FST_PROTO_VIOLATION: "forbidden_key",
    FST_ERR_BAD_URL: "malformed_request",
  }),
);
const defaultRetryAfterSeconds = 2;

/** The answer to whatever was thrown: from the closed list, and nothing of the error itself. */
export function errorHandler(log: Log) {
  return (error: unknown, request: FastifyRequest, reply: FastifyReply): FastifyReply => {
    const code = publicCode(error);
    if (code === "internal_error") {
      const { message, stack } = error instanceof Error ? error : { message: String(error), stack: undefined };
      log.error({ request_id: request.id, reason: message, stack }, "a request failed");
    }
    return sendError(reply, code, dataOf(error));
  };
}

export function sendError(reply: FastifyReply, code: ErrorCode, data: ErrorData = {}): FastifyReply {
  const { status, detail } = errorList[code];
  if (status === 503 || status === 429) reply.header("retry-after", data.retryAfterSeconds ?? defaultRetryAfterSeconds);
  if (status === 401) reply.header("www-authenticate", "Bearer");
  reply.code(status).type("application/json; charset=utf-8");
  return reply.send(data.fields ? nested(data.fields) : { detail, code });
}

interface ErrorData {
  readonly fields?: FieldErrors;
  readonly retryAfterSeconds?: number;
}

function publicCode(error: unknown): ErrorCode {
  const type = errorType(error);
  if (isErrorCode(type)) return type;
  const code = error instanceof Error && "code" in error ? String(error.code) : "";
  const status = error instanceof Error && "statusCode" in error ? Number(error.statusCode) : 500;
  return (
    translations.get(type ?? "") ?? translations.get(code) ?? (status < 500 ? "malformed_request" : "internal_error")
  );
}

function dataOf(error: unknown): ErrorData {
  const data = error instanceof Error && "data" in error ? error.data : undefined;
  if (errorType(error) === "VALIDATION_ERROR") return { fields: validatorFields(data) };
  return isErrorCode(errorType(error)) ? (data as ErrorData) : {};
}

/** The validator's words -> the sentences that the original's front end knows. Never `actual`: that is what was typed. */
function sentence(type: string, expected: unknown): string {
  switch (type) {
    case "required":
      return "This field is required.";
    case "string":
      return "Not a valid string.";
    case "stringEmpty":
      return "This field may not be blank.";
    case "stringMin":
      return `Ensure this field has at least ${String(expected)} characters.`;
    case "stringMax":
      return `Ensure this field has no more than ${String(expected)} characters.`;
    case "boolean":
      return "Must be a valid boolean.";
    case "number":
    case "numberInteger":
      return "A valid integer is required.";
    case "numberMin":
      return `Ensure this value is greater than or equal to ${String(expected)}.`;
    case "numberMax":
      return `Ensure this value is less than or equal to ${String(expected)}.`;
    case "object":
      return "Expected an object.";
    case "enumValue":
      return "Not a valid choice.";
    default:
      return "This value is not valid.";
  }
}

interface ValidatorEntry {
  readonly type: string;
  readonly field?: string;
  readonly expected?: unknown;
}

function validatorFields(entries: unknown): FieldErrors {
  const known = Array.isArray(entries) ? (entries as ValidatorEntry[]) : [];
  // An unlisted key has no field of its own; its name was typed, so it is not repeated.
  return Object.fromEntries(
    known.map(({ type, field, expected }) => [field ?? "non_field_errors", sentence(type, expected)]),
  );
}

/** `{"user_profile.phone": "…"}` -> `{"user_profile": {"phone": ["…"]}}`. */
function nested(fields: FieldErrors): Record<string, string[] | Record<string, string[]>> {
  const body: Record<string, string[] | Record<string, string[]>> = {};
  for (const [path, message] of Object.entries(fields)) {
    const [first = path, second] = path.split(".");
    const before = body[first];
    if (second === undefined) body[first] = [message];
    else body[first] = { ...(Array.isArray(before) ? {} : before), [second]: [message] };
  }
  return body;
}
