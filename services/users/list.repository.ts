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

class Values {
  readonly list: unknown[] = [];
  add(value: unknown): string {
    return `$${this.list.push(value)}`;
  }
}

function filterClauses(values: Values, filter: ListFilter): string[] {
  return [
    filter.role === undefined ? "u.role <> 'MO'" : `u.role = ${values.add(filter.role)}`,
    // As words and not as parameters: a partial index is used only where its condition stands in the statement.
    ...(filter.isActive === undefined ? [] : [filter.isActive ? "u.is_active" : "not u.is_active"]),
    ...(filter.isEmailVerified === undefined
      ? []
      : [filter.isEmailVerified ? "u.is_email_verified" : "not u.is_email_verified"]),
  ];
}

/** One page by id. */
export async function listAccounts(sql: Sql, filter: ListFilter, after: Position | undefined, limit: number) {
  const values = new Values();
  const clauses = [...filterClauses(values, filter), `u.id > ${values.add(after?.id ?? 0)}`];
  return await sql.query<Listed>(
    `select ${accountColumns} from ${accountTables} where ${clauses.join(" and ")} order by u.id limit ${values.add(limit)}`,
    values.list,
  );
}

/** What can be found by its beginning; each expression has an index on (expression, id). */
const terms = [
  { expression: `u.email_canonical collate "C"`, id: "u.id" },
  { expression: `lower(p.first_name || ' ' || p.last_name) collate "C"`, id: "p.user_id" },
  { expression: `lower(p.last_name) collate "C"`, id: "p.user_id" },
  { expression: `p.phone collate "C"`, id: "p.user_id" },
];

/**
 * One page of the accounts that have a term with this prefix, ordered by that term, then by id. Each index gives its own
 * first rows; an account that several terms find counts under the least of them alone, so that it comes once.
 */
export async function searchAccounts(
  sql: Sql,
  prefix: string,
  filter: ListFilter,
  after: Position | undefined,
  limit: number,
): Promise<Listed[]> {
  const values = new Values();
  const from = `lower(${values.add(prefix)}) collate "C"`;
  // The last code point there is: nothing with the prefix sorts behind it.
  const to = `(lower(${values.add(prefix)}) || chr(1114111)) collate "C"`;
  const within = (expression: string) => `${expression} >= ${from} and ${expression} < ${to}`;
  const least = `least(${terms.map(({ expression }) => `case when ${within(expression)} then ${expression} end`).join(", ")})`;
  const filters = filterClauses(values, filter).join(" and ");
  const position = after && `(${values.add(after.term ?? "")}, ${values.add(after.id)}::bigint)`;
  const size = values.add(limit);
  const branches = terms.map(
    ({ expression, id }) =>
      `(select ${id} as id, ${expression} as term from ${accountTables}
        where ${within(expression)} and ${filters} and ${least} = ${expression}
        ${position ? `and (${expression}, ${id}) > ${position}` : ""}
        order by ${expression}, ${id} limit ${size})`,
  );
  return await sql.query<Listed>(
    `with found as (${branches.join(" union ")})
     select ${accountColumns}, f.term from found f join ${accountTables} on u.id = f.id
     order by f.term collate "C", f.id limit ${size}`,
    values.list,
  );
}
