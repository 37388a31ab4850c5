import { LRUCache } from "lru-cache";
import type { Health } from "../../lib/health.ts";
import type { Account } from "../accounts/account.ts";
import type { AccountCache } from "./account-cache.ts";

/** More changes than this within `rememberMs` would push the oldest out, whose views then age by `keptMs` at most. */
const maxOutdated = 50_000;
/** Longer than any read takes (mixins/database) and any account is kept: nothing older can still come. */
const rememberMs = 10_000;

/**
 * Accounts by way of the cache. Many who ask for one at once cost one read, and nobody gets what was read before a change
 * that this node was told of (`changed`), whatever the cache still holds or could not be told.
 */
export class AccountReader {
  readonly #cache: AccountCache;
  readonly #read: (id: number) => Promise<Account | undefined>;
  readonly #running = new Map<number, Promise<Account | undefined>>();
  /** The least revision that still counts. */
  readonly #least = new LRUCache<number, number>({ max: maxOutdated, ttl: rememberMs });

  /** @param read the account as the database has it */
  constructor(cache: AccountCache, read: (id: number) => Promise<Account | undefined>) {
    this.#cache = cache;
    this.#read = read;
  }

  /** @throws whatever reading the database throws */
  find(id: number): Promise<Account | undefined> {
    const running = this.#running.get(id);
    if (running) return running;
    const finding = this.#find(id).finally(() => {
      if (this.#running.get(id) === finding) this.#running.delete(id);
    });
    this.#running.set(id, finding);
    return finding;
  }

  /** The account changed. Whoever asks from here on, on this node, gets nothing older: before the first `await`. */
  changed(id: number, revision: number): void {
    // What is on its way was asked for earlier, and may be older.
    this.#running.delete(id);
    if (revision > (this.#least.get(id) ?? 0)) this.#least.set(id, revision);
    void this.#cache.outdated(id, revision);
  }

  /** Without the cache it goes on, more slowly. */
  async health(): Promise<Health> {
    return { status: (await this.#cache.works()) ? "ok" : "degraded" };
  }

  close(): void {
    this.#cache.close();
  }

  async #find(id: number): Promise<Account | undefined> {
    const kept = await this.#cache.get(id);
    if (kept && this.#counts(kept)) return kept;
    const account = await this.#read(id);
    // Nobody waits for the cache to keep it.
    if (account && this.#counts(account)) void this.#cache.put(account);
    return account;
  }

  #counts({ id, revision }: Account): boolean {
    return revision >= (this.#least.get(id) ?? 0);
  }
}
