import type { Log } from "../../lib/log.ts";

const maxFailures = 3;
/** Failures this close together are one: a long pause of this process would else count as many. */
const burstMs = 50;
const restMs = 1000;

/** Goes round what fails again and again: it is left alone, and one attempt a second finds out whether it works again. */
export class Circuit {
  readonly #what: string;
  readonly #otherwise: string;
  readonly #log: Log;
  readonly #opened: () => void;
  #failures = 0;
  #failedAt = -Infinity;
  #restsUntil = -Infinity;

  /**
   * @param otherwise how it goes on meanwhile, for the log
   * @param opened is told when it starts to be left alone
   */
  constructor(what: string, otherwise: string, log: Log, opened: () => void) {
    this.#what = what;
    this.#otherwise = otherwise;
    this.#log = log;
    this.#opened = opened;
  }

  /** @returns undefined when it failed or was left alone */
  async attempt<T>(work: () => Promise<T>): Promise<T | undefined> {
    if (this.#isOpen()) {
      const now = performance.now();
      if (now < this.#restsUntil) return undefined;
      this.#restsUntil = now + restMs;
    }
    try {
      const result = await work();
      this.#succeeded();
      return result;
    } catch (error) {
      this.#failed(error);
      return undefined;
    }
  }

  #isOpen(): boolean {
    return this.#failures >= maxFailures;
  }

  #succeeded(): void {
    if (this.#isOpen()) this.#log.info({}, `${this.#what} works again`);
    this.#failures = 0;
  }

  #failed(error: unknown): void {
    const now = performance.now();
    if (this.#isOpen() || now - this.#failedAt < burstMs) return;
    this.#failedAt = now;
    this.#failures++;
    if (!this.#isOpen()) return;
    this.#restsUntil = now + restMs;
    const reason = error instanceof Error ? error.message : String(error);
    this.#log.warn({ reason }, `${this.#what} fails: it goes on ${this.#otherwise}`);
    this.#opened();
  }
}
