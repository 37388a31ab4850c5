import { ServiceError } from "../../lib/errors.ts";

/** Keys by which a body could reach the prototype of what it is merged into. */
const forbiddenKeys = new Set(["__proto__", "constructor", "prototype"]);

/**
 * A request's JSON body: an object, an empty body counting as an empty one.
 * @throws ServiceError `malformed_body`, or `forbidden_key` for one of the three keys at any depth
 */
export function parseJsonBody(text: string): Readonly<Record<string, unknown>> {
  if (text.trim() === "") return {};
  let body: unknown;
  try {
    body = JSON.parse(text);
  } catch {
    throw new ServiceError("malformed_body");
  }
  if (!isObject(body)) throw new ServiceError("malformed_body");
  // A stack and not recursion: the body's depth is the client's choice.
  for (const stack: unknown[] = [body]; stack.length > 0;) {
    const value = stack.pop();
    if (Array.isArray(value)) stack.push(...(value as unknown[]));
    else if (isObject(value)) {
      if (Object.keys(value).some((key) => forbiddenKeys.has(key))) throw new ServiceError("forbidden_key");
      stack.push(...Object.values(value));
    }
  }
  return body;
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);
