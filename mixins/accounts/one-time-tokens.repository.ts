import { randomUUID } from "node:crypto";
import type { OneTimePurpose } from "../../lib/one-time-token.ts";
import type { Transaction } from "../database/database.ts";

/** A new one-time token; it replaces the older ones of the same account and purpose. @returns its id */
export async function issueOneTimeToken(
  tx: Transaction,
  token: { userId: number; purpose: OneTimePurpose; address: string; ttlSeconds: number },
): Promise<string> {
  const id = randomUUID();
  await tx.query(
    "update one_time_tokens set ended_at = now() where user_id = $1 and purpose = $2 and ended_at is null",
    [token.userId, token.purpose],
  );
  await tx.query(
    `insert into one_time_tokens (id, user_id, purpose, address, expires_at)
     values ($1, $2, $3, $4, now() + make_interval(secs => $5))`,
    [id, token.userId, token.purpose, token.address, token.ttlSeconds],
  );
  return id;
}

/** Uses a token up: true for exactly one caller, and only for the account, purpose and address that it was made for. */
export async function consumeOneTimeToken(
  tx: Transaction,
  token: { id: string; userId: number; purpose: OneTimePurpose; address: string },
): Promise<boolean> {
  const rows = await tx.query(
    `update one_time_tokens set ended_at = now()
     where id = $1 and user_id = $2 and purpose = $3 and address = $4 and ended_at is null and expires_at > now()
     returning id`,
    [token.id, token.userId, token.purpose, token.address],
  );
  return rows.length === 1;
}

/** Whatever was mailed before no longer works. */
export async function endOneTimeTokens(tx: Transaction, userId: number): Promise<void> {
  await tx.query("update one_time_tokens set ended_at = now() where user_id = $1 and ended_at is null", [userId]);
}
