import type { Role } from "../../lib/roles.ts";
import type { MailKind } from "../../mixins/accounts/mails.repository.ts";
import type { Sql } from "../../mixins/database/database.ts";

export interface QueuedMail {
  readonly id: string;
  readonly userId: number;
  readonly kind: MailKind;
  readonly address: string;
  readonly data: { readonly role: Role; readonly first_name: string };
  readonly oneTimeTokenId: string | null;
  /** This one included. */
  readonly attempts: number;
}

/** How long a claimed mail belongs to its claimer; longer than an attempt can take. After kill -9 another takes over. */
const leaseSeconds = 60;

/** Takes due mails, oldest first; nobody else gets them before the lease ends. */
export async function claimMails(sql: Sql, limit: number): Promise<QueuedMail[]> {
  return await sql.query<QueuedMail>(
    `update mails set attempts = attempts + 1, next_attempt_at = now() + make_interval(secs => $2)
     where id in (select id from mails where status = 'queued' and next_attempt_at <= now()
                  order by next_attempt_at limit $1 for update skip locked)
     returning id, user_id as "userId", kind, address, data, one_time_token_id as "oneTimeTokenId", attempts`,
    [limit, leaseSeconds],
  );
}

export async function markSent(sql: Sql, id: string): Promise<void> {
  await sql.query("update mails set status = 'sent', sent_at = now(), last_error = null where id = $1", [id]);
}

/** Due again after `retrySeconds`, or given up when there is none. */
export async function markFailed(
  sql: Sql,
  id: string,
  reason: string,
  retrySeconds: number | undefined,
): Promise<void> {
  await sql.query(
    `update mails set last_error = $2, status = case when $3::float8 is null then 'abandoned' else 'queued' end,
       next_attempt_at = now() + make_interval(secs => coalesce($3, 0)) where id = $1`,
    [id, reason, retrySeconds],
  );
}
