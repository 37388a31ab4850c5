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

type Attempt = Pick<QueuedMail, "id" | "attempts">;
/** Only the newest claimer decides: who comes back after his lease must not undo what another has done. */
const isOurs = "id = $1 and attempts = $2 and status = 'queued'";

export async function markSent(sql: Sql, { id, attempts }: Attempt): Promise<void> {
  const statement = `update mails set status = 'sent', sent_at = now(), last_error = null where ${isOurs}`;
  await sql.query(statement, [id, attempts]);
}

/** Due again after `retrySeconds`, or given up when there is none. */
export async function markFailed(
  sql: Sql,
  { id, attempts }: Attempt,
  reason: string,
  retrySeconds: number | undefined,
): Promise<void> {
  await sql.query(
    `update mails set last_error = $3, status = case when $4::float8 is null then 'abandoned' else 'queued' end,
       next_attempt_at = now() + make_interval(secs => coalesce($4, 0)) where ${isOurs}`,
    [id, attempts, reason, retrySeconds],
  );
}
