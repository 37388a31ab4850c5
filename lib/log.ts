import { pino, type Logger } from "pino";

/** Pino's order: fields first, then the sentence. Fields never hold passwords, tokens, hashes or request bodies. */
export type Log = Pick<Logger, "debug" | "info" | "warn" | "error" | "child">;

/** @param pretty readable lines for a person; else one JSON object per line with the time as ISO 8601 in UTC. */
export function createLog(options: { level: string; pretty: boolean }): Log {
  return pino({
    // What is no level is `loadConfig`'s to tell, and it tells it through a log.
    level: Object.hasOwn(pino.levels.values, options.level) || options.level === "silent" ? options.level : "info",
    base: null,
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (level) => ({ level }) },
    ...(options.pretty && {
      transport: { target: "pino-pretty", options: { ignore: "level", singleLine: true, translateTime: "HH:MM:ss.l" } },
    }),
  });
}

export const silentLog: Log = pino({ level: "silent" });
