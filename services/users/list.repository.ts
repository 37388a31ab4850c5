import type { Role } from "../../lib/roles.ts";
import type { Account } from "../../mixins/accounts/account.ts";
import { accountColumns, accountTables } from "../../mixins/accounts/accounts.repository.ts";
import type { Sql } from "../../mixins/database/database.ts";

export interface ListFilter {
  readonly role: Role | undefined;
  readonly isActive: boolean | undefined;
  readonly isEmailVerified: boolean | undefined;
}

/** Where a page ended: the account's id, and in a search the term by which it was found. */
export interface Position {
  readonly id: number;
  readonly term?: string;
}
export interface Listed extends Account {
  readonly term?: string;
}

/** Collects the parameters of a statement. */
export class Values {
  readonly list: unknown[] = [];
  add(value: unknown): string {
    return `$${this.list.push(value)}`;
  }
}

/** @param table alias of a table with the columns role, is_active and is_email_verified */
function filterClauses(values: Values, table: "u" | "t", filter: ListFilter): string[] {
  return [
    filter.role === undefined ? `${table}.role <> 'MO'` : `${table}.role = ${values.add(filter.role)}`,
    // As words and not as parameters: a partial index is used only where its condition stands in the statement.
    ...(filter.isActive === undefined ? [] : [`${filter.isActive ? "" : "not "}${table}.is_active`]),
    ...(filter.isEmailVerified === undefined
      ? []
      : [`${filter.isEmailVerified ? "" : "not "}${table}.is_email_verified`]),
  ];
}

/** One page by id. */
export async function listAccounts(sql: Sql, filter: ListFilter, after: Position | undefined, limit: number) {
  const values = new Values();
  const clauses = [...filterClauses(values, "u", filter), `u.id > ${values.add(after?.id ?? 0)}`];
  // The page first, its profiles then: joined at once, the profiles were read from the first one on (7 times slower).
  return await sql.query<Listed>(
    `with page as materialized (
       select u.id from users u where ${clauses.join(" and ")} order by u.id limit ${values.add(limit)})
     select ${accountColumns} from page join ${accountTables} on u.id = page.id order by u.id`,
    values.list,
  );
}

/**
 * One page of the accounts that have a term with this prefix, ordered by that term, then by id. An account with several
 * such terms counts under the least of them alone, so that it comes once.
 */
export async function searchAccounts(
  sql: Sql,
  prefix: string,
  filter: ListFilter,
  after: Position | undefined,
  limit: number,
): Promise<Listed[]> {
  const values = new Values();
  const from = `lower(${values.add(prefix)})`;
  const clauses = [
    `t.term >= ${from}`,
    // The last code point there is: nothing with the prefix sorts behind it.
    `t.term < ${from} || chr(1114111)`,
    `not exists (select 1 from search_terms s where s.user_id = t.user_id and s.term >= ${from} and s.term < t.term)`,
    ...filterClauses(values, "t", filter),
    ...(after ? [`(t.term, t.user_id) > (${values.add(after.term ?? "")}, ${values.add(after.id)}::bigint)`] : []),
  ];
  return await sql.query<Listed>(
    `with page as materialized (
       select t.user_id, t.term from search_terms t where ${clauses.join(" and ")}
       order by t.term, t.user_id limit ${values.add(limit)})
     select ${accountColumns}, page.term from page join ${accountTables} on u.id = page.user_id
     order by page.term, page.user_id`,
    values.list,
  );
}
