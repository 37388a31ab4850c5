import type { Config } from "../../../../lib/config.ts";
import type { Log } from "../../../../lib/log.ts";
import type { Sql } from "../../../../mixins/database/database.ts";
import type { Counters } from "./counters.ts";
import { redisCounters } from "./redis-counters.ts";
import { sqlCounters } from "./sql-counters.repository.ts";

/** In Redis where there is one, else in PostgreSQL. */
export function openCounters({ redisUrl }: Config, sql: Sql, log: Log): Counters {
  const inSql = sqlCounters(sql);
  return redisUrl === undefined ? inSql : redisCounters(redisUrl, log, inSql);
}
