import { ServiceError } from "../../lib/errors.ts";

/** Keys by which a body could reach the prototype of what it is merged into. */
const forbiddenKeys = new Set(["__proto__", "constructor", "prototype"]);

/** No body of ours is deeper than two; whoever walks through it later may use recursion. */
const maxDepth = 32;
interface Nested {
  readonly value: unknown;
  readonly depth: number;
}

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
  // A stack and not recursion: the body's depth is the client's choice.
  for (const stack: Nested[] = [{ value: body, depth: 1 }]; stack.length > 0;) {
    const { value, depth } = stack.pop() ?? { value: undefined, depth: 0 };
    if (typeof value !== "object" || value === null) continue;
    if (depth > maxDepth) throw new ServiceError("malformed_body");
    if (!Array.isArray(value) && Object.keys(value).some((key) => forbiddenKeys.has(key))) {
      throw new ServiceError("forbidden_key");
    }
    stack.push(...Object.values(value).map((each: unknown) => ({ value: each, depth: depth + 1 })));
  }
  return body;
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);
