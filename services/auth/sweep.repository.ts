import type { Sql } from "../../mixins/database/database.ts";

const batch = 1000;
/** What is over, and how long it stays for whoever wants to understand what happened. */
const leftovers = [
  ["sessions", "id", "least(idle_expires_at, expires_at) < now() - interval '30 days'"],
  ["sessions", "id", "ended_at < now() - interval '30 days'"],
  ["one_time_tokens", "id", "expires_at < now() - interval '30 days'"],
  ["mails", "id", "status <> 'queued' and created_at < now() - interval '30 days'"],
  ["attempts", "key", "expire < extract(epoch from now()) * 1000"],
  ["idempotency_keys", "key_hash", "created_at < now() - interval '24 hours'"],
  // Kafka keeps messages for 7 days unless it is told otherwise: what comes again later is handled again.
  ["inbox", "ctid", "handled_at < now() - interval '14 days'"],
] as const;

/**
 * Deletes what is over, in small batches that hold nobody up.
 * @param auditRetention seconds
 * @returns "more" while there is more
 */
export async function sweep(sql: Sql, auditRetention: number): Promise<"more" | "done"> {
  let more = await purgeAuditLog(sql, auditRetention);
  for (const [table, key, isOver] of leftovers) {
    const swept = await sql.query(
      `with over as (delete from ${table} where ${key} in
         (select ${key} from ${table} where ${isOver} limit ${batch} for update skip locked) returning 1)
       select count(*) as count from over having count(*) = ${batch}`,
    );
    more ||= swept.length > 0;
  }
  return more ? "more" : "done";
}

/** By a function of the tables' owner: the service's role itself deletes no row of the audit log. */
async function purgeAuditLog(sql: Sql, retention: number): Promise<boolean> {
  const [{ purged } = { purged: 0 }] = await sql.query<{ purged: number }>("select purge_audit_log($1, $2) as purged", [
    retention,
    batch,
  ]);
  return purged === batch;
}
