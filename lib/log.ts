import { pino, type DestinationStream, type Logger } from "pino";

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
  return pino(settings, onceATurn(pino.destination({ dest: 1, sync: true })));
}

/**
 * Writes what one turn of the event loop logs at its end, and at the process's own: a system call costs more than making
 * ten lines. Only what leaves no last word (kill -9, no memory left) takes the lines of its turn along.
 */
function onceATurn(output: Pick<DestinationStream, "write">): DestinationStream {
  let lines = "";
  const flush = (): void => {
    const text = lines;
    lines = "";
    if (text !== "") output.write(visible(text));
  };
  process.on("exit", flush);
  return {
    write: (line) => {
      if (lines === "") setImmediate(flush);
      lines += line;
    },
  };
}

/**
 * JSON escapes only what is below U+0020, so that the only such character left is the end of a line. A terminal also acts on
 * the controls from U+007F (U+009B begins an ANSI sequence), some viewers begin a line at U+2028, and marks of direction
 * make text read as what it is not.
 */
const visible = (lines: string): string => lines.replace(/[\u007f-\u009f\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu, escaped);
const escaped = (character: string): string =>
  character
    .split("")
    .map((unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`)
    .join("");

export const silentLog: Log = pino({ level: "silent" });
