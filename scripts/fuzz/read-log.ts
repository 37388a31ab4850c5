import { createReadStream } from "node:fs";
import { createInterface } from "node:readline";

export interface LogFindings {
  readonly lines: number;
  /** HTTP status -> how many requests, as the service itself told. */
  readonly statuses: Readonly<Record<string, number>>;
  /** What a log must not show, with the number of the line. */
  readonly problems: readonly string[];
}

/** Reads what a service in production wrote: one JSON object a line, plain characters alone, no 5xx but "come again", and no error. */
export async function readLog(file: string): Promise<LogFindings> {
  const statuses: Record<string, number> = {};
  const problems: string[] = [];
  let lines = 0;
  // In latin1 a byte is a character: what is not plain ASCII cannot hide, and nothing but "\n" ends a line.
  for await (const line of createInterface({ input: createReadStream(file, "latin1"), crlfDelay: Infinity })) {
    lines++;
    const problem = problemOf(line, statuses);
    if (problem !== undefined) problems.push(`line ${lines}: ${problem}: ${JSON.stringify(line.slice(0, 500))}`);
  }
  return { lines, statuses, problems };
}

function problemOf(line: string, statuses: Record<string, number>): string | undefined {
  // What is beyond ASCII is UTF-8, whose bytes from 0x80 on are no controls; lib/log.ts escapes the rest.
  if (/[\0-\x1f\x7f]|\xc2[\x80-\x9f]|\xe2\x80[\xa8-\xae]/.test(line)) return "something is not escaped";
  let entry: unknown;
  try {
    entry = JSON.parse(line);
  } catch {
    return "no JSON";
  }
  if (typeof entry !== "object" || entry === null || Array.isArray(entry)) return "no JSON object";
  const { level, event, status } = entry as Record<string, unknown>;
  if (event === "http_request") statuses[String(status)] = (statuses[String(status)] ?? 0) + 1;
  // 503 is what a busy machine answers, with `Retry-After`; it is counted.
  if (event === "http_request" && Number(status) >= 500 && status !== 503) return `status ${String(status)}`;
  return level === "error" ? "an error" : undefined;
}
