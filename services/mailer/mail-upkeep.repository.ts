import type { MailKind } from "../../mixins/accounts/mails.repository.ts";
import type { Sql } from "../../mixins/database/database.ts";

/** The queue as operators see it: no address and no name. */
export interface QueueState {
  readonly queued: number;
  /** Of them, those whose next attempt is due. */
  readonly due: number;
  /** Age of the oldest queued one, in seconds; 0 without one. */
  readonly oldestSeconds: number;
  /** Given up, and not because nobody waits for them any more. */
  readonly abandoned: number;
}

/** They are kept as abandoned, but there is nothing to mend. */
const isGivenUp = "status = 'abandoned' and last_error <> 'superseded'";

export async function queueState(sql: Sql): Promise<QueueState> {
  const [state] = await sql.query<QueueState & { oldestSeconds: number }>(
    `select count(*)::int as queued, count(*) filter (where next_attempt_at <= now())::int as due,
       coalesce(extract(epoch from now() - min(created_at)), 0)::float8 as "oldestSeconds",
       (select count(*)::int from mails where ${isGivenUp}) as abandoned
     from mails where status = 'queued'`,
  );
  return state ?? { queued: 0, due: 0, oldestSeconds: 0, abandoned: 0 };
}

export interface AbandonedMail {
  readonly id: string;
  readonly kind: MailKind;
  readonly user_id: number;
  readonly attempts: number;
  /** What the last attempt came to (services/mailer/failures.ts). */
  readonly reason: string;
  /** ISO 8601. */
  readonly queued_at: string;
}

/** The newest ones that were given up. */
export async function abandonedMails(sql: Sql, limit: number): Promise<AbandonedMail[]> {
  return await sql.query<AbandonedMail>(
    `select id, kind, user_id, attempts, last_error as reason,
       to_char(created_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') as queued_at
     from mails where ${isGivenUp} order by created_at desc limit $1`,
    [limit],
  );
}

/** Puts what was given up back into the queue, due at once. @returns whether this caller did: of several, one */
export async function retryMail(sql: Sql, id: string): Promise<boolean> {
  const statement = `update mails set status = 'queued', next_attempt_at = now() where id = $1 and ${isGivenUp} returning 1`;
  return (await sql.query(statement, [id])).length > 0;
}

/** All of them. @returns how many */
export async function retryAbandonedMails(sql: Sql): Promise<number> {
  const [row] = await sql.query<{ count: number }>(
    `with retried as (update mails set status = 'queued', next_attempt_at = now() where ${isGivenUp} returning 1)
     select count(*)::int as count from retried`,
  );
  return row?.count ?? 0;
}

/** @returns `queued`, `sent`, `abandoned` or `superseded`; nothing where there is no such mail */
export async function mailStatus(sql: Sql, id: string): Promise<string | undefined> {
  const statement =
    "select case when last_error = 'superseded' then last_error else status end as status from mails where id = $1";
  const [mail] = await sql.query<{ status: string }>(statement, [id]);
  return mail?.status;
}
