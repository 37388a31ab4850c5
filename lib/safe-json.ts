/** Keys by which a value could reach the prototype of what it is merged into. */
const forbiddenKeys = new Set(["__proto__", "constructor", "prototype"]);

/** Nothing that we read is deeper than two. */
const maxDepth = 32;

export type JsonDanger = "forbidden_key" | "too_deep";

/** What makes a parsed JSON value of a stranger dangerous to go on with, if anything does. */
export function dangerIn(json: unknown, depth = 1): JsonDanger | undefined {
  if (typeof json !== "object" || json === null) return undefined;
  // The recursion ends here: the depth is the sender's choice.
  if (depth > maxDepth) return "too_deep";
  if (!Array.isArray(json) && Object.keys(json).some((key) => forbiddenKeys.has(key))) return "forbidden_key";
  for (const each of Object.values(json) as unknown[]) {
    const danger = dangerIn(each, depth + 1);
    if (danger) return danger;
  }
  return undefined;
}

/** PostgreSQL stores neither half a surrogate pair nor a zero byte. @param json that `dangerIn` finds nothing in */
export function isStorable(json: unknown): boolean {
  if (typeof json === "string") return json.isWellFormed() && !json.includes("\0");
  if (typeof json !== "object" || json === null) return true;
  return Object.values(json).every(isStorable);
}
