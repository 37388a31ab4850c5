import { Loggers, type LogLevels } from "moleculer";
import type { Log } from "../lib/log.ts";

/** Sends the broker's own words and the errors beside them to our log. Other objects stay out: they may hold parameters. */
export class BrokerLogger extends Loggers.Base<Record<string, never>> {
  readonly #log: Log;

  constructor(log: Log) {
    super({});
    this.#log = log;
  }

  override getLogHandler(bindings: { mod?: string } | null) {
    const log = this.#log.child({ module: bindings?.mod ?? "broker" });
    return (type: LogLevels, args: unknown[]): void => {
      const message = args.filter((arg) => typeof arg === "string").join(" ");
      const error = args.find((arg) => arg instanceof Error);
      // Starting and stopping is told by main.ts; the broker's own info lines are for those who debug.
      const level = type === "fatal" ? "error" : type === "info" || type === "trace" ? "debug" : type;
      log[level]({ ...(error && { reason: error.message }) }, message);
    };
  }
}
