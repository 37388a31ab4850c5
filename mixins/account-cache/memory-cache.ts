import { LRUCache } from "lru-cache";
import type { Account } from "../accounts/account.ts";
import { keptMs, type AccountCache } from "./account-cache.ts";

/** About 1 KB each. */
const maxAccounts = 20_000;

/** This process's own: every node clears its own when it is told of a change. */
export function memoryCache(): AccountCache {
  const accounts = new LRUCache<number, Account>({ max: maxAccounts, ttl: keptMs });
  const revisionOf = (id: number): number => accounts.get(id)?.revision ?? -1;
  return {
    get: (id) => Promise.resolve(accounts.get(id)),
    put: (account) => {
      if (revisionOf(account.id) <= account.revision) accounts.set(account.id, account);
      return Promise.resolve();
    },
    outdated: (id, revision) => {
      if (revisionOf(id) < revision) accounts.delete(id);
      return Promise.resolve();
    },
    works: () => Promise.resolve(true),
    close: () => {
      accounts.clear();
    },
  };
}
