import { LRUCache } from "lru-cache";

/** Calls are given up by then (moleculer.config.ts). */
const keptMs = 10_000;

/** Calls whose client has hung up: nobody will read their answer. Bounded, however many hang up. */
export class AbandonedCalls {
  readonly #calls = new LRUCache<string, true>({ max: 10_000, ttl: keptMs });

  /** @param call `Actor.call` */
  add(call: string): void {
    this.#calls.set(call, true);
  }

  has(call: string): boolean {
    return this.#calls.has(call);
  }
}
