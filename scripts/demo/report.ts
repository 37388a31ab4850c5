import { isDeepStrictEqual } from "node:util";

/** A step that did not go as it should; it has been printed already. */
export class Difference extends Error {
  override readonly name = "Difference";
}

const column = 20;

export const heading = (text: string): void => console.log(`\n${text}`);

/** Something that was seen and that every value is right for. */
export const tell = (title: string, seen: string): void => console.log(`       ${title.padEnd(column)} ${seen}`);

/**
 * Prints a step with what it saw.
 * @throws Difference when that is not what it should be
 */
export function check(title: string, seen: unknown, expected: unknown): void {
  if (isDeepStrictEqual(seen, expected)) {
    console.log(`  ok   ${title.padEnd(column)} ${textOf(seen)}`);
    return;
  }
  console.log(`  FAIL ${title}\n         expected: ${textOf(expected)}\n         seen:     ${textOf(seen)}`);
  throw new Difference(title);
}

/** `201, {role: CU, verified: false}` */
function textOf(value: unknown): string {
  if (typeof value === "string") return value;
  if (Array.isArray(value)) return value.map(textOf).join(", ");
  if (typeof value !== "object" || value === null) return String(value);
  return `{${Object.entries(value)
    .map(([name, part]) => `${name}: ${textOf(part)}`)
    .join(", ")}}`;
}

/** Asks again until there is an answer, or the time is over. */
export async function wait<T>(ask: () => Promise<T | undefined> | T | undefined, withinMs: number) {
  for (const end = Date.now() + withinMs; ;) {
    const answer = await ask();
    if (answer !== undefined || Date.now() > end) return answer;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
