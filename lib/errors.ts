/** What may go wrong in public: stable code -> HTTP status and the sentence that a user sees. OpenAPI lists these. */
export const errorList = {
  invalid_input: { status: 400, detail: "The request has invalid fields." },
  malformed_body: { status: 400, detail: "The request body is not valid JSON." },
  forbidden_key: { status: 400, detail: "The request body has a key that is not allowed." },
  invalid_cursor: { status: 400, detail: "The cursor is not valid." },
  email_already_verified: { status: 400, detail: "Email has already been verified" },
  invalid_link: { status: 400, detail: "The link is not valid or has been used." },
  malformed_request: { status: 400, detail: "The request could not be read." },
  not_authenticated: { status: 401, detail: "Authentication credentials were not provided." },
  invalid_token: { status: 401, detail: "Token is invalid or expired" },
  session_ended: { status: 401, detail: "Session has ended" },
  inactive_account: { status: 401, detail: "User is inactive" },
  invalid_credentials: { status: 401, detail: "No active account found with the given credentials" },
  permission_denied: { status: 403, detail: "You do not have permission to perform this action." },
  email_not_verified: { status: 403, detail: "Email has not been verified." },
  cross_site_request: { status: 403, detail: "Cross-site requests are not allowed." },
  not_found: { status: 404, detail: "Not found." },
  method_not_allowed: { status: 405, detail: "Method not allowed." },
  last_moderator: { status: 409, detail: "The last active moderator can be neither demoted nor deactivated." },
  idempotency_key_reused: { status: 409, detail: "The Idempotency-Key was used for another request." },
  body_too_large: { status: 413, detail: "The request body is too large." },
  unsupported_media_type: { status: 415, detail: "The request body must be application/json." },
  multipart_required: { status: 415, detail: "The request body must be multipart/form-data." },
  too_many_requests: { status: 429, detail: "Too many requests. Try again later." },
  internal_error: { status: 500, detail: "Something went wrong." },
  unavailable: { status: 503, detail: "Try again later." },
} as const satisfies Record<string, { status: number; detail: string }>;

export type ErrorCode = keyof typeof errorList;
/** Field path with dots -> message, e.g. `{"user_profile.phone": "Enter a valid phone number."}`. */
export type FieldErrors = Readonly<Record<string, string>>;

/**
 * An error whose meaning is public. Branch on `type`, never on the class: classes do not survive the transporter,
 * `type` and `data` do. The message is for the log; the answer's sentence comes from the list.
 */
export class ServiceError extends Error {
  override readonly name = "ServiceError";
  readonly type: ErrorCode;
  readonly code: number;
  readonly data: { readonly fields?: FieldErrors; readonly retryAfterSeconds?: number };

  constructor(
    type: ErrorCode,
    data: { fields?: FieldErrors; retryAfterSeconds?: number } = {},
    options?: ErrorOptions & { message?: string },
  ) {
    super(options?.message ?? errorList[type].detail, options);
    this.type = type;
    this.code = errorList[type].status;
    this.data = data;
  }
}

export const invalidFields = (fields: FieldErrors): ServiceError => new ServiceError("invalid_input", { fields });

export const errorType = (error: unknown): string | undefined =>
  error instanceof Error && "type" in error && typeof error.type === "string" ? error.type : undefined;

export const isErrorCode = (type: string | undefined): type is ErrorCode =>
  type !== undefined && Object.hasOwn(errorList, type);

type Results<R extends readonly (() => unknown)[]> = { -readonly [K in keyof R]: ReturnType<R[K]> };

/** Runs all readers and returns what they read; if some refuse their fields, one error names them all. */
export function readTogether<const R extends readonly (() => unknown)[]>(...readers: R): Results<R> {
  const problems: Record<string, string> = {};
  const results = readers.map((read) => {
    try {
      return read();
    } catch (error) {
      if (!(error instanceof ServiceError) || !error.data.fields) throw error;
      return Object.assign(problems, error.data.fields);
    }
  });
  if (Object.keys(problems).length > 0) throw invalidFields(problems);
  return results as Results<R>;
}
