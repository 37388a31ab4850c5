import { ServiceError } from "../../lib/errors.ts";
import { dangerIn } from "../../lib/safe-json.ts";

/**
 * A request's JSON body: an object, an empty body counting as an empty one.
 * @throws ServiceError `malformed_body` (also for one that is nested too deep), or `forbidden_key` for one of the three keys at any depth
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
  const danger = dangerIn(body);
  if (danger) throw new ServiceError(danger === "forbidden_key" ? "forbidden_key" : "malformed_body");
  return body;
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);
