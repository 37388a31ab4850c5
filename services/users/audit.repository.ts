import type { AuditEntry } from "../../lib/audit.ts";
import type { AuditedEvent, Outcome } from "../../lib/security-log.ts";
import type { Sql } from "../../mixins/database/database.ts";
import { Values } from "./list.repository.ts";

export interface AuditFilter {
  readonly actor: number | undefined;
  readonly subject: number | undefined;
  readonly event: AuditedEvent | undefined;
  readonly ip: string | undefined;
  readonly outcome: Outcome | undefined;
  /** Milliseconds since 1970: from the first, before the second. */
  readonly from: number | undefined;
  readonly to: number | undefined;
}

/** Where a page ended. The time as text: it has microseconds. */
export interface AuditPosition {
  readonly at: string;
  readonly id: number;
}

export interface AuditRow extends AuditEntry {
  readonly id: number;
  /** ISO 8601 in UTC, with microseconds. */
  readonly occurred_at: string;
}

const columns = { actor: "actor_id", subject: "subject_id", event: "event", ip: "ip", outcome: "outcome" } as const;
const equalTo = Object.entries(columns) as [keyof typeof columns, string][];

/** One page, the newest first. Each filter, and none, has an index in this order (migrations/0007-audit.sql). */
export async function listAuditRows(
  sql: Sql,
  filter: AuditFilter,
  after: AuditPosition | undefined,
  limit: number,
): Promise<AuditRow[]> {
  const values = new Values();
  const time = (milliseconds: number) => `to_timestamp(${values.add(milliseconds / 1000)})`;
  const clauses = [
    "true",
    ...equalTo.flatMap(([name, column]) =>
      filter[name] === undefined ? [] : [`${column} = ${values.add(filter[name])}`],
    ),
    ...(filter.from === undefined ? [] : [`occurred_at >= ${time(filter.from)}`]),
    ...(filter.to === undefined ? [] : [`occurred_at < ${time(filter.to)}`]),
    ...(after ? [`(occurred_at, id) < (${values.add(after.at)}::timestamptz, ${values.add(after.id)}::bigint)`] : []),
  ];
  return await sql.query<AuditRow>(
    `select id, to_char(occurred_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as occurred_at, event, outcome,
       actor_id, subject_id, ip, user_agent, request_id, details
     from audit_log where ${clauses.join(" and ")} order by audit_log.occurred_at desc, id desc
     limit ${values.add(limit)}`,
    values.list,
  );
}
