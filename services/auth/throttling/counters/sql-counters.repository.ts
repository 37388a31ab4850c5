import { RateLimiterPostgres } from "rate-limiter-flexible";
import type { Sql } from "../../../../mixins/database/database.ts";
import { asked, countOf, type Counters } from "./counters.ts";

const table = "attempts";

/** In PostgreSQL: one statement each, and atomic. */
export function sqlCounters(sql: Sql): Counters {
  const limiter = new RateLimiterPostgres({
    // All that the library asks of a client.
    storeClient: {
      query: async ({ text, values }: { text: string; values: unknown[] }) => ({ rows: await sql.query(text, values) }),
    },
    storeType: "client",
    tableName: table,
    // By a migration; and expired rows are swept with everything else (sweep.repository.ts).
    tableCreated: true,
    clearExpiredByTimeout: false,
    keyPrefix: "",
    ...asked,
  });
  return {
    add: async (key, seconds) => countOf(await limiter.penalty(key, 1, { customDuration: seconds })),
    set: async (key, count, seconds) => {
      await limiter.set(key, count, seconds);
    },
    settle: async ({ forget = [], takeBack = [] }) => {
      // Not by the library: it would take one round trip for each, and make a credit of what has expired meanwhile.
      await sql.query(
        `with forgotten as (delete from ${table} where key = any($1))
         update ${table} set points = points - 1 where key = any($2) and points > 0`,
        [forget, takeBack],
      );
    },
    close: () => undefined,
  };
}
