import type { Context, ServiceSchema } from "moleculer";
import { findAccount } from "../accounts/accounts.repository.ts";
import type { Sql } from "../database/database.ts";
import type { Node } from "../node.ts";
import { AccountReader } from "./account-reader.ts";
import { memoryCache } from "./memory-cache.ts";
import { redisCache } from "./redis-cache.ts";

/** Accounts for views, by way of Redis where there is one, else of this process's memory. */
export function createAccountReader(
  { config, log }: Node,
  sql: Sql,
): {
  readonly accounts: AccountReader;
  /** Tells it of every change, wherever it was made; for the service that reads. */
  readonly mixin: Partial<ServiceSchema>;
} {
  const cache = config.redisUrl === undefined ? memoryCache() : redisCache(config.redisUrl, log);
  const accounts = new AccountReader(cache, (id) => findAccount(sql, id));
  return {
    accounts,
    mixin: {
      events: {
        // Local listeners run before `transaction` returns: whoever made the change here reads it here at once.
        "account.changed": ({ params }: Context<{ user_id: number; revision: number }>) =>
          accounts.changed(params.user_id, params.revision),
      },
      stopped: () => accounts.close(),
    },
  };
}
