import { ServiceError } from "../../../lib/errors.ts";

interface Limits {
  readonly concurrency: number;
  readonly maxWaiting: number;
  readonly maxWaitMs: number;
}

interface Waiting {
  readonly call: string;
  readonly since: number;
  start(): void;
  refuse(reason: ServiceError): void;
}

const unavailable = (): ServiceError => new ServiceError("unavailable", { retryAfterSeconds: 2 });

/**
 * Runs at most `concurrency` jobs at once and lets at most `maxWaiting` wait; beyond that it refuses at once, so that a
 * flood of logins costs the flooder an error and not everybody else their time. What has waited too long all the same
 * (jobs were dearer than expected, or the machine is busy) is refused and not done for a caller that has given up.
 */
export class HashQueue {
  readonly #limits: Limits;
  readonly #now: () => number;
  #waiting: Waiting[] = [];
  #running = 0;

  /** @param now milliseconds of a clock that never goes back */
  constructor(limits: Limits, now = () => performance.now()) {
    this.#limits = limits;
    this.#now = now;
  }

  /**
   * @param call for whom it is, see {@link abandon}; empty for nobody who could go away
   * @throws ServiceError `unavailable` when too many wait already, or when it was dropped
   */
  async run<T>(job: () => Promise<T>, call: string): Promise<T> {
    if (this.#running < this.#limits.concurrency) this.#running++;
    else await this.#turn(call);
    try {
      return await job();
    } finally {
      const tooLong = this.#now() - this.#limits.maxWaitMs;
      this.#refuse(({ since }) => since < tooLong);
      const next = this.#waiting.shift();
      // The place is handed on, so the count of running jobs stays as it is.
      if (next) next.start();
      else this.#running--;
    }
  }

  /** Whoever made this call went away: its waiting jobs are dropped. What runs already runs to its end. */
  abandon(call: string): void {
    if (call !== "") this.#refuse((waiting) => waiting.call === call);
  }

  /** Nothing that waits will be done. */
  clear(): void {
    this.#refuse(() => true);
  }

  async #turn(call: string): Promise<void> {
    if (this.#waiting.length >= this.#limits.maxWaiting) throw unavailable();
    const since = this.#now();
    await new Promise<void>((start, refuse) => this.#waiting.push({ call, since, start, refuse }));
  }

  #refuse(isRefused: (waiting: Waiting) => boolean): void {
    const refused = this.#waiting.filter(isRefused);
    this.#waiting = this.#waiting.filter((waiting) => !isRefused(waiting));
    for (const waiting of refused) waiting.refuse(unavailable());
  }
}
