import type { Sql } from "../../mixins/database/database.ts";
import type { Change } from "./topics.ts";

/**
 * What is to be published, in an order that is right for each user. By state and not by a cursor: a row whose
 * transaction commits late would be missed by one. Nothing of a user whose older row waits for its next attempt.
 */
export async function unpublished(sql: Sql, limit: number): Promise<Change[]> {
  return await sql.query<Change>(
    `select id, user_id as "userId", version, type, data, occurred_at as "occurredAt", traceparent
     from outbox o
     where published_at is null and not exists (
       select 1 from outbox held where held.user_id = o.user_id and held.published_at is null
         and held.version <= o.version and held.next_attempt_at > now())
     order by seq limit $1`,
    [limit],
  );
}

export async function markPublished(sql: Sql, ids: readonly string[]): Promise<void> {
  await sql.query("update outbox set published_at = now(), last_error = null where id = any($1::uuid[])", [ids]);
}

/** Tried again after a while that doubles each time, up to half an hour; until then it holds that user's later rows. */
export async function markHeld(sql: Sql, id: string, reason: string): Promise<void> {
  await sql.query(
    `update outbox set attempts = attempts + 1, last_error = $2,
       next_attempt_at = now() + make_interval(secs => least(1800, 2 ^ least(attempts, 12))) where id = $1`,
    [id, reason],
  );
}
