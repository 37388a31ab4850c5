import type { Log } from "../../lib/log.ts";

/** It is over when somebody was answered and nobody refused for as long: else a source that comes and goes fills the log. */
const quietMs = 5000;

/** Two lines for a time in which roles cannot be known, however many are refused: when it begins, and when it is over. */
export class Outage {
  readonly #log: Log;
  #refused = 0;
  /** `performance.now()` of the last refusal. */
  #at = 0;

  constructor(log: Log) {
    this.#log = log;
  }

  refused(error: unknown): void {
    this.#at = performance.now();
    if (this.#refused++ > 0) return;
    const reason = error instanceof Error ? error.message : String(error);
    this.#log.warn({ reason }, "roles cannot be known now");
  }

  /** Somebody who had to wait for it has got an answer. */
  answered(): void {
    if (this.#refused === 0 || performance.now() - this.#at < quietMs) return;
    this.#log.info({ refused: this.#refused }, "roles can be known again");
    this.#refused = 0;
  }
}
