import type { Role } from "../../lib/roles.ts";
import { notices, type MailKind } from "../../mixins/accounts/mails.repository.ts";
import type { Sql } from "../../mixins/database/database.ts";
import type { Failure } from "./failures.ts";

export interface QueuedMail {
  readonly id: string;
  readonly userId: number;
  readonly kind: MailKind;
  readonly address: string;
  readonly data: { readonly role: Role; readonly first_name: string };
  readonly oneTimeTokenId: string | null;
  /** This one included. */
  readonly attempts: number;
  /** How many of them the server answered with "later". */
  readonly deferrals: number;
  /** Since it was queued. */
  readonly ageSeconds: number;
  /** Whether it still says what is so: see `stillCounts`. */
  readonly isCurrent: boolean;
}

/** How long a claimed mail belongs to its claimer; longer than an attempt can take. After kill -9 another takes over. */
const leaseSeconds = 60;

/**
 * What a mail says may be over when its turn comes. Its link must be open; its address must be the account's, the one that
 * waits for its confirmation, or one from which an owner may still take a change back: notices to the old address are meant
 * for it. So is what tells an old address that a moderator has set another. Of a deactivated account nothing goes out but notices.
 */
const stillCounts = `
  (u.is_active or m.kind = any($3))
  and (m.one_time_token_id is null or (t.ended_at is null and t.expires_at > now()))
  and (m.kind = 'email-moved' or m.address in (u.email, u.pending_email) or exists (
    select 1 from one_time_tokens undo where undo.user_id = u.id and undo.purpose = 'undo-email'
      and undo.address = m.address and undo.ended_at is null and undo.expires_at > now()))`;

/** Takes due mails, oldest first, and writes down that they are tried; nobody else gets them before the lease ends. */
export async function claimMails(sql: Sql, limit: number): Promise<QueuedMail[]> {
  return await sql.query<QueuedMail>(
    `with m as (
       update mails set attempts = attempts + 1, next_attempt_at = now() + make_interval(secs => $2)
       where id in (select id from mails where status = 'queued' and next_attempt_at <= now()
                    order by next_attempt_at limit $1 for update skip locked)
       returning *),
     noted as (insert into mail_attempts (mail_id, attempt) select id, attempts from m)
     select m.id, m.user_id as "userId", m.kind, m.address, m.data, m.one_time_token_id as "oneTimeTokenId", m.attempts,
       (select count(*)::int from mail_attempts a where a.mail_id = m.id and a.outcome = 'deferred') as deferrals,
       extract(epoch from now() - m.created_at)::float8 as "ageSeconds", coalesce(${stillCounts}, false) as "isCurrent"
     from m left join users u on u.id = m.user_id left join one_time_tokens t on t.id = m.one_time_token_id`,
    [limit, leaseSeconds, notices],
  );
}

type Attempt = Pick<QueuedMail, "id" | "attempts">;
/** Only the newest claimer decides: who comes back after his lease must not undo what another has done. */
const isOurs = "id = $1 and attempts = $2 and status = 'queued'";

/** The life of the mail's link begins: the first time only, and an ended link stays ended. */
export async function markSent(sql: Sql, { id, attempts }: Attempt): Promise<void> {
  await sql.query(
    `with sent as (
       update mails set status = 'sent', sent_at = now(), last_error = null where ${isOurs} returning one_time_token_id),
     alive as (
       update one_time_tokens set sent_at = now(), expires_at = now() + lifetime
       where id in (select one_time_token_id from sent) and sent_at is null and lifetime is not null)
     update mail_attempts set ended_at = now(), outcome = 'sent' where mail_id = $1 and attempt = $2`,
    [id, attempts],
  );
}

/** Due again after `retrySeconds`, or given up when there is none. */
export async function markFailed(
  sql: Sql,
  { id, attempts }: Attempt,
  { outcome, code }: Failure,
  retrySeconds: number | undefined,
): Promise<void> {
  await sql.query(
    `with failed as (
       update mails set last_error = $4, status = case when $5::float8 is null then 'abandoned' else 'queued' end,
         next_attempt_at = now() + make_interval(secs => coalesce($5, 0)) where ${isOurs})
     update mail_attempts set ended_at = now(), outcome = $3, code = $4 where mail_id = $1 and attempt = $2`,
    [id, attempts, outcome, code, retrySeconds],
  );
}

/** Whether a mail has been due for so long without anybody taking it. */
export async function isOverdue(sql: Sql, seconds: number): Promise<boolean> {
  const [row] = await sql.query<{ late: boolean }>(
    `select exists (select 1 from mails where status = 'queued' and next_attempt_at < now() - make_interval(secs => $1)) as late`,
    [seconds],
  );
  return row?.late === true;
}
