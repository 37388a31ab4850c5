import { describe, expect, test } from "@jest/globals";
import { pino } from "pino";
import { createSkipped } from "../../../../services/events/skipped.ts";

function telling() {
  const lines: { msg: string; event?: string }[] = [];
  const log = pino({}, { write: (line: string) => void lines.push(JSON.parse(line) as { msg: string }) });
  return { lines, skipped: createSkipped(log) };
}

describe("skipped", () => {
  test("one line for each name of each topic", () => {
    const { lines, skipped } = telling();
    for (const topic of ["a", "a", "b"]) skipped.tell(topic, "x");
    expect(lines).toHaveLength(2);
  });

  test("a name of any length: its first 100 characters", () => {
    const { lines, skipped } = telling();
    skipped.tell("a", "x".repeat(1000));
    expect(lines[0]?.event).toBe("x".repeat(100));
  });

  test("names without end: a hundred lines, then one that says so", () => {
    const { lines, skipped } = telling();
    for (let count = 0; count < 10_000; count++) skipped.tell("a", String(count));
    expect(lines).toHaveLength(101);
    expect(lines.at(-1)?.msg).toContain("more kinds");
  });
});
