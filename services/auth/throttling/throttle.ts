import { LRUCache } from "lru-cache";
import type { BudgetName, Budgets } from "../../../lib/budgets.ts";
import { ServiceError } from "../../../lib/errors.ts";
import type { Actor } from "../../../lib/principal.ts";
import type { AuditBuffer } from "../../../mixins/audit/audit-buffer.ts";
import type { Count, Counters } from "./counters/counters.ts";

/** Whoever was refused is refused again from memory for so long: a flood costs no statements and writes no log. */
const refusedMs = 1000;
const maxRefused = 10_000;

export const keyOf = (budget: BudgetName | "wrong-passwords-in-a-row", subject: string): string =>
  `${budget}:${subject}`;

/** Budgets of which something is spent before it is done: however many come at once, no more than the limit get through. */
export class Throttle {
  readonly budgets: Budgets;
  readonly counters: Counters;
  readonly #refusals: Pick<AuditBuffer, "tell">;
  /** Key -> milliseconds of `performance.now()` until which it has no budget. */
  readonly #refused = new LRUCache<string, number>({ max: maxRefused, ttl: refusedMs });

  constructor(budgets: Budgets, counters: Counters, refusals: Pick<AuditBuffer, "tell">) {
    this.budgets = budgets;
    this.counters = counters;
    this.#refusals = refusals;
  }

  /**
   * @param subject what the budget is counted for (subjects.ts)
   * @returns the key, for taking it back
   * @throws ServiceError `too_many_requests` when nothing is left; `unavailable` when that cannot be known
   */
  async spend(actor: Actor, budget: BudgetName, subject: string): Promise<string> {
    const key = keyOf(budget, subject);
    const { limit, seconds } = this.budgets[budget];
    const until = this.#refused.get(key);
    if (until !== undefined) throw tooMany(until - performance.now());
    const { count, resetMs }: Count = await this.counters.add(key, seconds);
    if (count <= limit) return key;
    // Of many that came at once only the first is told.
    if (!this.#refused.has(key)) this.#refusals.tell("excess_rate_limit_exceeded", actor, { details: { budget } });
    this.#refused.set(key, performance.now() + resetMs);
    throw tooMany(resetMs);
  }

  /** What was spent was not used. */
  async takeBack(keys: readonly string[]): Promise<void> {
    await this.counters.settle({ takeBack: keys });
  }

  /** These begin anew, and one is taken back of others. */
  async forget(keys: readonly string[], takeBack: readonly string[] = []): Promise<void> {
    for (const key of keys) this.#refused.delete(key);
    await this.counters.settle({ forget: keys, takeBack });
  }
}

const tooMany = (milliseconds: number): ServiceError =>
  new ServiceError("too_many_requests", { retryAfterSeconds: Math.max(1, Math.ceil(milliseconds / 1000)) });
