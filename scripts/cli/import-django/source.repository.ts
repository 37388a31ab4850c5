import type { Sql } from "../../../mixins/database/database.ts";

/** A row of the original's `users_user` with its row of `users_userprofile`, which accounts made by an admin have not. */
export interface SourceUser {
  readonly id: number;
  readonly email: string;
  /** One of Django's hashes, or unusable (`!…`). */
  readonly password: string;
  /** `CU`, `CO`, `RM`, `MO`, or empty for accounts made by an admin. */
  readonly role: string;
  readonly is_active: boolean;
  readonly is_email_verified: boolean;
  readonly is_staff: boolean;
  /** Times as PostgreSQL writes them: a Date has no microseconds. */
  readonly last_login: string | null;
  readonly date_joined: string;
  readonly has_profile: boolean;
  readonly first_name: string | null;
  readonly last_name: string | null;
  readonly phone: string | null;
  /** `YYYY-MM-DD` */
  readonly birth_date: string | null;
  readonly image_url: string | null;
}

const columns = {
  users_user: "id email password role is_active is_email_verified is_staff last_login date_joined".split(" "),
  users_userprofile: "user_id first_name last_name phone birth_date image_url".split(" "),
};

/** Tables and columns (`table.column`) that the source has not, or that its user must not read. */
export async function missingInSource(source: Sql): Promise<string[]> {
  const missing: string[] = [];
  for (const [table, names] of Object.entries(columns)) {
    const found = await source.query<{ name: string }>(
      `select attname as name from pg_attribute where attrelid = to_regclass($1) and attnum > 0 and not attisdropped
         and has_column_privilege(attrelid, attnum, 'select')`,
      [table],
    );
    if (found.length === 0) missing.push(table);
    else for (const name of names) if (!found.some((column) => column.name === name)) missing.push(`${table}.${name}`);
  }
  return missing;
}

/**
 * The next accounts after an id, in the order of their ids. The second look at that id is for a merge join, which would
 * otherwise go through the profiles from the first one on, for every page.
 */
export async function readSourceUsers(
  source: Sql,
  page: { readonly verified: boolean; readonly after: number; readonly limit: number },
): Promise<SourceUser[]> {
  return await source.query<SourceUser>(
    `select u.id, u.email, u.password, u.role, u.is_active, u.is_email_verified, u.is_staff,
       u.last_login::text, u.date_joined::text, p.user_id is not null as has_profile,
       p.first_name, p.last_name, p.phone, p.birth_date::text, p.image_url
     from users_user u left join users_userprofile p on p.user_id = u.id and p.user_id > $2
     where u.is_email_verified = $1 and u.id > $2 order by u.id limit $3`,
    [page.verified, page.after, page.limit],
  );
}

/** The highest id ever given away, as far as the source tells: other services may hold rows of accounts that are gone. */
export async function highestSourceId(source: Sql): Promise<number> {
  const [row] = await source.query<{ highest: number | null }>(
    `select greatest((select max(id) from users_user),
       case when has_sequence_privilege(name, 'select, usage') then pg_sequence_last_value(name) end) as highest
     from (select pg_get_serial_sequence('users_user', 'id')::regclass as name) sequence`,
  );
  return row?.highest ?? 0;
}

/** Of these ids, those without an account in the source. */
export async function absentFromSource(source: Sql, ids: readonly number[]): Promise<number[]> {
  const absent = await source.query<{ id: number }>(
    "select id from unnest($1::bigint[]) asked (id) where not exists (select from users_user u where u.id = asked.id)",
    [ids],
  );
  return absent.map(({ id }) => id);
}
