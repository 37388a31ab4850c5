import { ServiceError } from "../../lib/errors.ts";

interface Waiting {
  start(): void;
}

/**
 * Runs at most `concurrency` jobs at once and lets at most `maxWaiting` wait; beyond that it refuses at once, so that a
 * flood of logins costs the flooder an error and not everybody else their time. Node's thread pool has four threads and
 * `dns` and `fs` need some of them: with as many jobs as threads they waited 1.7 s (PERFORMANCE.md).
 */
export class HashQueue {
  readonly #concurrency: number;
  readonly #maxWaiting: number;
  readonly #waiting: Waiting[] = [];
  #running = 0;

  constructor(concurrency: number, maxWaiting: number) {
    this.#concurrency = concurrency;
    this.#maxWaiting = maxWaiting;
  }

  /** @throws ServiceError `unavailable` when too many wait already */
  async run<T>(job: () => Promise<T>): Promise<T> {
    if (this.#running < this.#concurrency) this.#running++;
    else await this.#turn();
    try {
      return await job();
    } finally {
      const next = this.#waiting.shift();
      // The place is handed on, so the count of running jobs stays as it is.
      if (next) next.start();
      else this.#running--;
    }
  }

  async #turn(): Promise<void> {
    if (this.#waiting.length >= this.#maxWaiting) throw new ServiceError("unavailable", { retryAfterSeconds: 2 });
    await new Promise<void>((start) => this.#waiting.push({ start }));
  }
}
