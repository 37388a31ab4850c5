import type { Role } from "../../lib/roles.ts";
import type { Sql } from "../database/database.ts";

/** What decides on an access token: its account and its session as they stand. */
export interface AccessState {
  readonly user_id: number;
  readonly session_id: string;
  readonly role: Role;
  readonly is_active: boolean;
  readonly is_email_verified: boolean;
  readonly is_staff: boolean;
  readonly session_epoch: number;
  /** Of the account; a state with a higher one is newer. */
  readonly revision: number;
  readonly session_ended: boolean;
}

/** Account and session by their ids, in one look for many; those without an account are left out. */
export async function findAccessStates(
  sql: Sql,
  of: readonly { readonly user_id: number; readonly session_id: string }[],
): Promise<AccessState[]> {
  return await sql.query<AccessState>(
    `select u.id as user_id, asked.session_id, u.role, u.is_active, u.is_email_verified, u.is_staff, u.session_epoch,
       u.revision, (s.id is null or s.ended_at is not null) as session_ended
     from unnest($1::bigint[], $2::uuid[]) asked (user_id, session_id)
       join users u on u.id = asked.user_id
       left join sessions s on s.id = asked.session_id and s.user_id = asked.user_id`,
    [of.map(({ user_id }) => user_id), of.map(({ session_id }) => session_id)],
  );
}

export interface AccessChanges {
  readonly accounts: readonly { readonly user_id: number; readonly revision: number }[];
  readonly session_ids: readonly string[];
}

/** What has changed for access tokens within the last seconds, at most `limit` of each kind. */
export async function findAccessChanges(sql: Sql, seconds: number, limit: number): Promise<AccessChanges> {
  const since = "clock_timestamp() - make_interval(secs => $1)";
  // Sessions first: whoever knows that a session was ended by a deactivation must know of that too, and not tell half of it.
  const sessions = await sql.query<{ id: string }>(`select id from sessions where ended_at > ${since} limit $2`, [
    seconds,
    limit,
  ]);
  const accounts = await sql.query<AccessChanges["accounts"][number]>(
    `select id as user_id, revision from users where access_changed_at > ${since} limit $2`,
    [seconds, limit],
  );
  return { accounts, session_ids: sessions.map(({ id }) => id) };
}
