import { Worker } from "node:worker_threads";
import { ServiceError } from "../../../lib/errors.ts";
import type { Log } from "../../../lib/log.ts";
import type { HashAnswer, HashJob } from "./hash-jobs.ts";

/**
 * Threads that hash. A thread is started when a job comes and no other is free (each takes some 20 MB), and stays. It
 * keeps the process alive only while it works.
 */
export class HashWorkers {
  readonly #log: Log;
  readonly #file: URL;
  readonly #idle = new Set<Worker>();
  readonly #busy = new Map<Worker, PromiseWithResolvers<HashAnswer>>();

  constructor(log: Log, file = new URL("./hash-worker.ts", import.meta.url)) {
    this.#log = log;
    this.#file = file;
  }

  /** As many at once as the caller likes. @throws ServiceError `unavailable` when the thread dies over the job */
  async run(job: HashJob): Promise<HashAnswer> {
    const [worker = this.#start()] = this.#idle;
    const answer = Promise.withResolvers<HashAnswer>();
    this.#idle.delete(worker);
    this.#busy.set(worker, answer);
    worker.ref();
    worker.postMessage(job);
    return await answer.promise;
  }

  /** Ends all threads; what they were at is `unavailable`. */
  async close(): Promise<void> {
    const workers = [...this.#idle, ...this.#busy.keys()];
    for (const worker of workers) this.#gone(worker);
    await Promise.all(workers.map((worker) => worker.terminate()));
  }

  #start(): Worker {
    // What is preloaded into the process (--import) is not meant for these threads.
    const worker = new Worker(this.#file, { execArgv: [] });
    worker.on("message", (answer: HashAnswer) => {
      this.#busy.get(worker)?.resolve(answer);
      this.#busy.delete(worker);
      this.#idle.add(worker);
      worker.unref();
    });
    worker.on("error", (error) => this.#log.error({ reason: String(error) }, "a hash worker died"));
    worker.on("exit", () => this.#gone(worker));
    return worker;
  }

  /** The next job starts another in its place. */
  #gone(worker: Worker): void {
    this.#idle.delete(worker);
    this.#busy.get(worker)?.reject(new ServiceError("unavailable", { retryAfterSeconds: 1 }));
    this.#busy.delete(worker);
  }
}
