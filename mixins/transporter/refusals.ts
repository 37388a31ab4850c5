import type { Log } from "../../lib/log.ts";

const perMs = 60_000;

/** Counts what is refused, and tells the log once a minute at the most: whoever can send garbage could fill a disk with it. */
export class Refusals<Reason extends string> {
  readonly #log: Log;
  readonly #message: string;
  #counts: Partial<Record<Reason, number>> = {};
  #silent = false;

  constructor(log: Log, message: string) {
    this.#log = log;
    this.#message = message;
  }

  count(reason: Reason): void {
    this.#counts[reason] = (this.#counts[reason] ?? 0) + 1;
    if (!this.#silent) this.#tell();
  }

  #tell(): void {
    this.#silent = Object.keys(this.#counts).length > 0;
    if (!this.#silent) return;
    this.#log.warn({ refused: this.#counts }, this.#message);
    this.#counts = {};
    setTimeout(() => this.#tell(), perMs).unref();
  }
}
