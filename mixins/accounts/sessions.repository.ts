import type { Sql, Transaction } from "../database/database.ts";
import { raiseSessionEpoch } from "./accounts.repository.ts";

export interface NewSession {
  /** UUID */
  readonly id: string;
  readonly userId: number;
  /** SHA-256 of the refresh token */
  readonly refreshHash: Buffer;
  readonly browserSession: boolean;
  readonly ip: string;
  readonly userAgent: string;
  readonly idleSeconds: number;
  readonly maxAgeSeconds: number;
}

/** How many sessions of one account live at once; a further one ends the one that was not used for the longest time. */
const maxSessions = 50;

/** The account's row is locked, or new: nobody else starts one meanwhile. Nothing happens when there is one with this id. */
export async function insertSession(tx: Transaction, session: NewSession): Promise<void> {
  await tx.query(
    `insert into sessions (id, user_id, refresh_hash, browser_session, ip, user_agent, idle_expires_at, expires_at)
     values ($1, $2, $3, $4, $5, $6, now() + make_interval(secs => $7), now() + make_interval(secs => $8))
     on conflict (id) do nothing`,
    [
      session.id,
      session.userId,
      session.refreshHash,
      session.browserSession,
      session.ip,
      session.userAgent,
      session.idleSeconds,
      session.maxAgeSeconds,
    ],
  );
  await endWhere(
    tx,
    "crowded-out",
    `id in (select id from sessions where user_id = $2 and ended_at is null
            order by rotated_at desc, created_at desc offset ${maxSessions})`,
    [session.userId],
  );
}

export interface LockedSession {
  readonly id: string;
  readonly userId: number;
  readonly refreshHash: Buffer;
  readonly previousRefreshHash: Buffer | null;
  readonly browserSession: boolean;
  /** Seconds since the refresh token was rotated, by the database's clock. */
  readonly secondsSinceRotation: number;
  /** Seconds for which it may still be used, however often. */
  readonly secondsLeft: number;
}

const isLive = "ended_at is null and idle_expires_at > now() and expires_at > now()";

/** The session if it still lives (neither ended nor expired), locked until the transaction ends. */
export async function lockLiveSession(tx: Transaction, id: string): Promise<LockedSession | undefined> {
  const [session] = await tx.query<LockedSession>(
    `select id, user_id as "userId", refresh_hash as "refreshHash", previous_refresh_hash as "previousRefreshHash",
       browser_session as "browserSession", extract(epoch from now() - rotated_at)::float8 as "secondsSinceRotation",
       extract(epoch from expires_at - now())::float8 as "secondsLeft"
     from sessions where id = $1 and ${isLive} for update`,
    [id],
  );
  return session;
}

export async function rotateSession(tx: Transaction, id: string, next: Buffer, idleSeconds: number): Promise<void> {
  await tx.query(
    `update sessions set previous_refresh_hash = refresh_hash, refresh_hash = $2, rotated_at = now(),
       idle_expires_at = least(expires_at, now() + make_interval(secs => $3)) where id = $1`,
    [id, next, idleSeconds],
  );
}

export interface Session {
  readonly id: string;
  readonly createdAt: Date;
  /** When it was signed in or refreshed last. */
  readonly lastUsedAt: Date;
  readonly ip: string;
  readonly userAgent: string;
}

/** Those that live, the one used last first. */
export async function listSessions(sql: Sql, userId: number): Promise<Session[]> {
  return await sql.query<Session>(
    `select id, created_at as "createdAt", rotated_at as "lastUsedAt", ip, user_agent as "userAgent"
     from sessions where user_id = $1 and ${isLive} order by rotated_at desc, id`,
    [userId],
  );
}

export type EndReason =
  | "logout"
  | "ended-by-owner"
  | "ended-by-moderator"
  | "reuse"
  | "crowded-out"
  | "email"
  | "password"
  | "deactivated"
  | "registration-disowned";

/** @returns the account whose session it was, if it lived until now */
export async function endSession(tx: Transaction, id: string, reason: EndReason): Promise<number | undefined> {
  const [ended] = await endWhere(tx, reason, "id = $2", [id]);
  return ended?.userId;
}

/** Whose session it is or was, until its row is swept away. */
export async function findSessionOwner(sql: Sql, id: string): Promise<number | undefined> {
  const [session] = await sql.query<{ userId: number }>(`select user_id as "userId" from sessions where id = $1`, [id]);
  return session?.userId;
}

/**
 * One at a time for each account, until the transaction ends: of many that are found stolen at once each sees the others.
 * @returns how many of the account's sessions ended within the last hour because two parties held their token
 */
export async function stolenLately(tx: Transaction, userId: number): Promise<number> {
  await tx.query("select pg_advisory_xact_lock(hashtextextended('stolen sessions', $1))", [userId]);
  const statement = `select count(*)::int as stolen from sessions
     where user_id = $1 and end_reason = 'reuse' and ended_at > now() - interval '1 hour'`;
  const [row] = await tx.query<{ stolen: number }>(statement, [userId]);
  return row?.stolen ?? 0;
}

/** One of the account's own. @returns whether there was such a one */
export async function endOwnSession(tx: Transaction, userId: number, id: string): Promise<boolean> {
  return (await endWhere(tx, "ended-by-owner", `id = $2 and user_id = $3 and ${isLive}`, [id, userId])).length > 0;
}

export async function endOtherSessions(tx: Transaction, userId: number, keepId: string): Promise<number> {
  return (await endWhere(tx, "ended-by-owner", "user_id = $2 and id <> $3", [userId, keepId])).length;
}

/** Of the Django service, which are no rows before they are used here. @returns false when they had ended before */
export async function endLegacySessions(tx: Transaction, userId: number): Promise<boolean> {
  const statement =
    "update users set legacy_sessions_ended = true where id = $1 and not legacy_sessions_ended returning id";
  return (await tx.query(statement, [userId])).length > 0;
}

export async function haveLegacySessionsEnded(tx: Transaction, userId: number): Promise<boolean> {
  const statement = "select 1 from users where id = $1 and legacy_sessions_ended";
  return (await tx.query(statement, [userId])).length > 0;
}

/** Every session and, by the raised epoch, every access token. The caller holds the account's lock. */
export async function endAllSessions(tx: Transaction, userId: number, reason: EndReason): Promise<void> {
  await raiseSessionEpoch(tx, userId);
  const statement = "update sessions set ended_at = now(), end_reason = $2 where user_id = $1 and ended_at is null";
  await tx.query(statement, [userId, reason]);
}

/** Ended one by one: gateways have to hear of each. */
async function endWhere(tx: Transaction, reason: EndReason, where: string, values: readonly unknown[]) {
  const ended = await tx.query<{ id: string; userId: number }>(
    // The time of the end and not that of the transaction's start: gateways look for recent ones.
    `update sessions set ended_at = clock_timestamp(), end_reason = $1 where ended_at is null and ${where} returning id, user_id as "userId"`,
    [reason, ...values],
  );
  if (ended.length > 0) tx.signal({ name: "sessions.ended", session_ids: ended.map(({ id }) => id) });
  return ended;
}
