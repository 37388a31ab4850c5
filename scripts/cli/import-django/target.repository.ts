import type { Sql, Transaction } from "../../../mixins/database/database.ts";
import type { ImportedUser } from "./read-user.ts";

/** What is here already under an id of the source. */
export interface Existing {
  readonly id: number;
  /** Null for an account that was not imported. */
  readonly sourceHash: Buffer | null;
  /** Above 0 once the account was changed here. */
  readonly version: number;
}

/** The ids a second time, or all that was ever imported is read for each batch. */
export async function findExisting(sql: Sql, ids: readonly number[]): Promise<Map<number, Existing>> {
  const rows = await sql.query<Existing>(
    `select u.id, u.version, i.source_hash as "sourceHash"
     from users u left join imported_users i on i.user_id = u.id and i.user_id = any($1) where u.id = any($1)`,
    [ids],
  );
  return new Map(rows.map((row) => [row.id, row]));
}

/** Canonical address -> id of the account that has it, or that may take it back for now. */
export async function findHolders(sql: Sql, canonicalEmails: readonly string[]): Promise<Map<string, number>> {
  const rows = await sql.query<{ email_canonical: string; id: number }>(
    `select reserved_canonical as email_canonical, user_id as id from one_time_tokens
     where reserved_canonical = any($1) and ended_at is null and expires_at > now()
     union all select email_canonical, id from users where email_canonical = any($1)`,
    [canonicalEmails],
  );
  return new Map(rows.map((row) => [row.email_canonical, row.id]));
}

/** Whole rows in one parameter: a statement may have 65,535 and no more. */
const given = `given as (
  select * from json_to_recordset($1) as s (
    id bigint, email text, email_canonical text, password_hash text, role text, is_active boolean,
    is_email_verified boolean, is_staff boolean, last_login timestamptz, created_at timestamptz,
    first_name text, last_name text, phone text, birth_date date, source_hash text, source_password_hash text))`;

/**
 * Without an event, a mail or a version: to the other services nothing has happened.
 * @returns ids of those that are here now; id or address of another was taken at the last moment
 */
export async function insertImported(tx: Transaction, users: readonly ImportedUser[]): Promise<Set<number>> {
  if (users.length === 0) return new Set();
  const rows = await tx.query<{ id: number }>(
    `with ${given},
     made as (
       insert into users (id, email, email_canonical, password_hash, role, roles_held, is_active, is_email_verified,
         is_staff, last_login, created_at)
       select id, email, email_canonical, password_hash, role, array[role], is_active, is_email_verified, is_staff,
         last_login, created_at from given
       on conflict do nothing returning id),
     profiles as (
       insert into user_profiles (user_id, first_name, last_name, phone, birth_date)
       select id, first_name, last_name, phone, birth_date from given join made using (id))
     insert into imported_users (user_id, source_hash, password_hash)
     select id, decode(source_hash, 'hex'), decode(source_password_hash, 'hex') from given join made using (id)
     returning user_id as id`,
    [JSON.stringify(users)],
  );
  return new Set(rows.map(({ id }) => id));
}

/**
 * Brings accounts up to date that nobody has changed here. A password that was hashed anew at a sign-in here stays as
 * long as it is the same one in the source; another one ends the sessions that were started with the old one.
 * @returns ids of those that were brought up to date; the others were changed here at the last moment
 */
export async function updateImported(tx: Transaction, users: readonly ImportedUser[]): Promise<Set<number>> {
  if (users.length === 0) return new Set();
  const samePassword = "i.password_hash = decode(g.source_password_hash, 'hex')";
  const rows = await tx.query<{ id: number }>(
    `with ${given},
     changed as (
       update users u set email = g.email, email_canonical = g.email_canonical, role = g.role,
         roles_held = case when g.role = any(u.roles_held) then u.roles_held else u.roles_held || g.role end,
         is_active = g.is_active, is_email_verified = g.is_email_verified, is_staff = g.is_staff,
         last_login = greatest(u.last_login, g.last_login),
         password_hash = case when ${samePassword} then u.password_hash else g.password_hash end,
         session_epoch = u.session_epoch + case when ${samePassword} then 0 else 1 end
       from given g join imported_users i on i.user_id = g.id
       where u.id = g.id and u.version = 0 returning u.id),
     profiles as (
       update user_profiles p set first_name = g.first_name, last_name = g.last_name, phone = g.phone,
         birth_date = g.birth_date
       from given g join changed using (id) where p.user_id = g.id)
     update imported_users i
       set source_hash = decode(g.source_hash, 'hex'), password_hash = decode(g.source_password_hash, 'hex')
     from given g join changed using (id) where i.user_id = g.id
     returning i.user_id as id`,
    [JSON.stringify(users)],
  );
  return new Set(rows.map(({ id }) => id));
}

/** New accounts get higher ids than this. Never moves backwards. */
export async function moveSequencePast(sql: Sql, id: number): Promise<void> {
  await sql.query(
    `select setval('users_id_seq', $1) from users_id_seq
     where last_value < $1::bigint or (last_value = $1::bigint and not is_called)`,
    [id],
  );
}

/** Ids of imported accounts after an id, in order. */
export async function importedIds(sql: Sql, after: number, limit: number): Promise<number[]> {
  const rows = await sql.query<{ id: number }>(
    "select user_id as id from imported_users where user_id > $1 order by user_id limit $2",
    [after, limit],
  );
  return rows.map(({ id }) => id);
}
