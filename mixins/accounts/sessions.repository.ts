import type { Role } from "../../lib/roles.ts";
import type { Sql, Transaction } from "../database/database.ts";

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

export async function insertSession(tx: Transaction, session: NewSession): Promise<void> {
  await tx.query(
    `insert into sessions (id, user_id, refresh_hash, browser_session, ip, user_agent, idle_expires_at, expires_at)
     values ($1, $2, $3, $4, $5, $6, now() + make_interval(secs => $7), now() + make_interval(secs => $8))`,
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
}

export interface LockedSession {
  readonly id: string;
  readonly userId: number;
  readonly refreshHash: Buffer;
  readonly previousRefreshHash: Buffer | null;
  readonly browserSession: boolean;
  /** Seconds since the refresh token was rotated, by the database's clock. */
  readonly secondsSinceRotation: number;
}

/** The session if it still lives (neither ended nor expired), locked until the transaction ends. */
export async function lockLiveSession(tx: Transaction, id: string): Promise<LockedSession | undefined> {
  const [session] = await tx.query<LockedSession>(
    `select id, user_id as "userId", refresh_hash as "refreshHash", previous_refresh_hash as "previousRefreshHash",
       browser_session as "browserSession", extract(epoch from now() - rotated_at)::float8 as "secondsSinceRotation"
     from sessions where id = $1 and ended_at is null and idle_expires_at > now() and expires_at > now() for update`,
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

export type EndReason = "logout" | "reuse" | "email" | "deactivated" | "registration-disowned";

export async function endSession(sql: Sql, id: string, reason: EndReason): Promise<void> {
  await sql.query("update sessions set ended_at = now(), end_reason = $2 where id = $1 and ended_at is null", [
    id,
    reason,
  ]);
}

/** Together with a raised `session_epoch` (`AccountColumns.endSessions`), which is what ends the access tokens. */
export async function endAllSessions(tx: Transaction, userId: number, reason: EndReason): Promise<void> {
  await tx.query("update sessions set ended_at = now(), end_reason = $2 where user_id = $1 and ended_at is null", [
    userId,
    reason,
  ]);
}

/** What an access token's account and session allow right now. */
export interface AccessState {
  readonly role: Role;
  readonly is_active: boolean;
  readonly is_email_verified: boolean;
  readonly is_staff: boolean;
  readonly session_epoch: number;
  readonly session_ended: boolean;
}

/** What decides on an access token, in one look; `undefined` without such an account. */
export async function findAccessState(sql: Sql, userId: number, sessionId: string): Promise<AccessState | undefined> {
  const [state] = await sql.query<AccessState>(
    `select u.role, u.is_active, u.is_email_verified, u.is_staff, u.session_epoch,
       (s.id is null or s.ended_at is not null) as session_ended
     from users u left join sessions s on s.user_id = u.id and s.id = $2 where u.id = $1`,
    [userId, sessionId],
  );
  return state;
}
