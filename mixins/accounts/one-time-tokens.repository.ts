import { randomUUID } from "node:crypto";
import type { EmailAddress } from "../../lib/email-address.ts";
import type { OneTimePurpose } from "../../lib/one-time-token.ts";
import type { Sql, Transaction } from "../database/database.ts";

/** How long a mail may wait to be sent before its link is not worth sending any more. */
const unsentDays = 30;

/**
 * A new one-time token, whose life begins when its mail is sent (services/mailer). It replaces the older ones of the same
 * account and purpose; of those that take a change of the address back, only ones for the same address: a thief's second
 * change must not disarm the owner's link.
 * @returns its id
 */
export async function issueOneTimeToken(
  tx: Transaction,
  token: { userId: number; purpose: OneTimePurpose; address: string; ttlSeconds: number },
): Promise<string> {
  const id = randomUUID();
  await tx.query(
    `update one_time_tokens set ended_at = now() where user_id = $1 and purpose = $2 and ended_at is null
       and ($2 <> 'undo-email' or address = $3)`,
    [token.userId, token.purpose, token.address],
  );
  await tx.query(
    `insert into one_time_tokens (id, user_id, purpose, address, expires_at, lifetime)
     values ($1, $2, $3, $4, now() + make_interval(days => $6), make_interval(secs => $5))`,
    [id, token.userId, token.purpose, token.address, token.ttlSeconds, unsentDays],
  );
  return id;
}

/**
 * Uses a token up: for exactly one caller, and only for the account and purpose (and address, where one is given) that it
 * was made for.
 * @returns the address that it was made for, or `undefined` when it is used, ended, expired or another's
 */
export async function consumeOneTimeToken(
  tx: Transaction,
  token: { id: string; userId: number; purpose: OneTimePurpose; address?: string },
): Promise<string | undefined> {
  const [row] = await tx.query<{ address: string }>(
    `update one_time_tokens set ended_at = now()
     where id = $1 and user_id = $2 and purpose = $3 and address = coalesce($4, address)
       and ended_at is null and expires_at > now()
     returning address`,
    [token.id, token.userId, token.purpose, token.address],
  );
  return row?.address;
}

/** A token that can still be used: whose it is, and the address that it was made for. */
export async function findOneTimeToken(
  sql: Sql,
  id: string,
): Promise<{ readonly userId: number; readonly address: string } | undefined> {
  const [token] = await sql.query<{ userId: number; address: string }>(
    `select user_id as "userId", address from one_time_tokens where id = $1 and ended_at is null and expires_at > now()`,
    [id],
  );
  return token;
}

/**
 * The address that an account leaves stays reserved for it as long as the link lives by which its owner takes the change
 * back: somebody else who registered it meanwhile would disarm that link.
 */
export async function reserveAddress(tx: Transaction, userId: number, left: EmailAddress): Promise<void> {
  await tx.query(
    `update one_time_tokens set reserved_canonical = $3
     where user_id = $1 and purpose = 'undo-email' and address = $2 and ended_at is null`,
    [userId, left.address, left.canonical],
  );
}

/**
 * Whether another account may take the address back. Asked after it was written: whoever leaves it at the same moment holds
 * its entry in the index until then.
 */
export async function isReservedByAnother(tx: Transaction, canonicalEmail: string, userId: number): Promise<boolean> {
  const reserved = await tx.query(
    `select 1 from one_time_tokens
     where reserved_canonical = $1 and user_id <> $2 and ended_at is null and expires_at > now() limit 1`,
    [canonicalEmail, userId],
  );
  return reserved.length > 0;
}

/** Links mailed before no longer work, but for those by which an owner takes back a change of his address. */
export async function endOneTimeTokens(tx: Transaction, userId: number): Promise<void> {
  await tx.query(
    `update one_time_tokens set ended_at = now()
     where user_id = $1 and ended_at is null and purpose <> 'undo-email'`,
    [userId],
  );
}

/** Those as well: somebody with a better right has decided on the address. */
export async function endEveryOneTimeToken(tx: Transaction, userId: number): Promise<void> {
  await tx.query("update one_time_tokens set ended_at = now() where user_id = $1 and ended_at is null", [userId]);
}

/**
 * After a change of address was taken back: everything but the links of those who had the account before. A thief who
 * takes back his own second change must not end the owner's link by it.
 */
export async function endTokensSince(tx: Transaction, userId: number, undoTokenId: string): Promise<void> {
  await tx.query(
    `update one_time_tokens set ended_at = now() where user_id = $1 and ended_at is null
       and (purpose <> 'undo-email' or created_at >= (select created_at from one_time_tokens where id = $2))`,
    [userId, undoTokenId],
  );
}
