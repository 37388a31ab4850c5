import { pino, type Logger } from "pino";

/** Pino's order: fields first, then the sentence. Fields never hold passwords, tokens, hashes or request bodies. */
export type Log = Pick<Logger, "debug" | "info" | "warn" | "error" | "child">;

/** @param pretty readable lines for a person; else one JSON object per line with the time as ISO 8601 in UTC. */
export function createLog(options: { level: string; pretty: boolean }): Log {
  const settings = {
    // What is no level is `loadConfig`'s to tell, and it tells it through a log.
    level: Object.hasOwn(pino.levels.values, options.level) || options.level === "silent" ? options.level : "info",
    base: null,
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (level: string) => ({ level }) },
  };
  if (options.pretty) {
    const display = { ignore: "level", singleLine: true, translateTime: "HH:MM:ss.l" };
    return pino({ ...settings, transport: { target: "pino-pretty", options: display } });
  }
  const output = pino.destination(1);
  return pino(settings, { write: (line: string) => void output.write(visible(line)) });
}

/**
 * JSON has to escape only what is below U+0020. A terminal also acts on the controls from U+0080 (U+009B begins an ANSI
 * sequence), some viewers begin a line at U+2028, and marks of direction make text read as what it is not.
 */
const visible = (line: string): string => line.replace(/(?!\n$)[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu, escaped);
const escaped = (character: string): string =>
  character
    .split("")
    .map((unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`)
    .join("");

export const silentLog: Log = pino({ level: "silent" });
