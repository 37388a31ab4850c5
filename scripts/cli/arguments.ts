import { parseArgs, type ParseArgsOptionsConfig } from "node:util";
import { UsageError } from "./usage-error.ts";

/** @throws UsageError that names the argument and never repeats a value, which may be a secret typed in the wrong place */
export function readArgs<const O extends ParseArgsOptionsConfig>(
  args: readonly string[],
  options: O,
  usage: string,
  positionals = 0,
) {
  const parsed = (() => {
    try {
      return parseArgs({ args: [...args], options, strict: true, allowPositionals: true });
    } catch (error) {
      throw new UsageError(`${problemOf(error)}\n${usage}`);
    }
  })();
  if (parsed.positionals.length > positionals) throw new UsageError(`There is an argument too many.\n${usage}`);
  return parsed;
}

/** Node's sentence names the option first, in quotes, and may repeat a value later. */
function problemOf(error: unknown): string {
  const { code = "", message } = error as NodeJS.ErrnoException;
  const [, option = ""] = /'(?:-\w, )?(--?[A-Za-z][A-Za-z-]*)/.exec(message) ?? [];
  if (code === "ERR_PARSE_ARGS_INVALID_OPTION_VALUE") return `${option}: a value is missing, or there is one too many.`;
  return `${option === "" ? "This option" : option}: there is no such option.`;
}

const uuid = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/** @throws UsageError unless it is a UUID, as `status` shows them */
export function readId(text: string | undefined, usage: string): string {
  if (text === undefined) throw new UsageError(`<id>: it is missing.\n${usage}`);
  if (!uuid.test(text)) throw new UsageError(`<id>: must be an id as status shows it.\n${usage}`);
  return text.toLowerCase();
}

/** @throws UsageError unless it is a whole number in this range */
export function readWholeNumber(name: string, text: string, { min, max }: { min: number; max: number }): number {
  const value = Number(text);
  if (/^[0-9]{1,9}$/.test(text) && value >= min && value <= max) return value;
  throw new UsageError(`${name}: must be a whole number from ${min} to ${max}.`);
}

/** @throws UsageError unless it is a time in ISO 8601 with its zone (a day is its beginning in UTC), which has passed */
export function readPastTime(name: string, text: string): Date {
  const time = /^\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d(\.\d{1,3})?)?(Z|[+-]\d\d:\d\d))?$/.test(text)
    ? new Date(text)
    : new Date(NaN);
  // V8 reads 31 February as 3 March.
  const day = new Date(`${text.slice(0, 10)}T00:00:00Z`);
  const exists = !Number.isNaN(time.getTime()) && day.toISOString().startsWith(text.slice(0, 10));
  if (!exists) throw new UsageError(`${name}: must be a time such as 2026-12-31T18:00:00Z.`);
  if (time.getTime() > Date.now()) throw new UsageError(`${name}: lies in the future.`);
  return time;
}
