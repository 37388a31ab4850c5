import { randomUUID } from "node:crypto";
import type { MailKind } from "../../mixins/accounts/mails.repository.ts";
import { uniqueEmail } from "./people.ts";
import type { TestStand } from "./service.ts";

type Stand = Pick<TestStand, "query">;

export interface Queued {
  readonly id: string;
  readonly address: string;
  readonly userId: number;
  readonly tokenId: string;
}

/** Of the kinds with a link. */
const purposes: Partial<Record<MailKind, string>> = {
  "verify-email": "verify-email",
  "confirm-email": "confirm-email",
  "reset-password": "reset-password",
  "email-change-notice": "undo-email",
};

/** An account, the one-time token of its link and a mail in the queue, as a registration writes them. */
export async function queueMail(
  on: Stand,
  changes: { address?: string; data?: object; kind?: MailKind; lifetime?: string } = {},
): Promise<Queued> {
  const { address = uniqueEmail(), data = { role: "CU", first_name: "Anna" }, kind = "verify-email" } = changes;
  const [id, tokenId] = [randomUUID(), randomUUID()];
  const purpose = purposes[kind];
  const [user] = await on.query<{ id: number }>(
    `insert into users (email, email_canonical, password_hash, role, roles_held, version)
     values ($1::text, $1, '', 'CU', '{CU}', 1) returning id::int`,
    [address],
  );
  if (purpose !== undefined) {
    await on.query(
      `insert into one_time_tokens (id, user_id, purpose, address, expires_at, lifetime)
       values ($1, $2, $3, $4, now() + interval '30 days', $5::interval)`,
      [tokenId, user?.id, purpose, address, changes.lifetime ?? "1 hour"],
    );
  }
  await on.query(
    "insert into mails (id, user_id, kind, address, data, one_time_token_id) values ($1, $2, $3, $4, $5, $6)",
    [id, user?.id, kind, address, data, purpose === undefined ? null : tokenId],
  );
  return { id, address, userId: user?.id ?? 0, tokenId };
}

export interface MailRow {
  readonly status: string;
  readonly attempts: number;
  readonly last_error: string | null;
  /** Until the next attempt. */
  readonly seconds: number;
}

export async function mailRow(on: Stand, { id }: Pick<Queued, "id">): Promise<MailRow> {
  const [row] = await on.query<MailRow>(
    `select status, attempts, last_error, extract(epoch from next_attempt_at - now())::float8 as seconds
     from mails where id = $1`,
    [id],
  );
  if (!row) throw new Error("no such mail");
  return row;
}

/** What each attempt came to, in order; null while it runs. */
export const attemptsAt = (on: Stand, { id }: Pick<Queued, "id">) =>
  on.query<{ attempt: number; outcome: string | null; code: string | null }>(
    "select attempt, outcome, code from mail_attempts where mail_id = $1 order by attempt",
    [id],
  );

/** Instead of waiting for the back-off or the lease. */
export const makeDue = (on: Stand) => on.query("update mails set next_attempt_at = now() where status = 'queued'");
