import { auditEntry, type About, type AuditEntry } from "../../lib/audit.ts";
import type { Actor } from "../../lib/principal.ts";
import type { AuditedEvent } from "../../lib/security-log.ts";
import type { Sql, Transaction } from "../database/database.ts";

/** One more line in the audit log: it stands there if, and only if, what it tells has happened. */
export async function appendAudit(tx: Transaction, event: AuditedEvent, actor: Actor, about?: About): Promise<void> {
  await appendAuditEntries(tx, [auditEntry(event, actor, about)]);
}

/** Many at once, of which no transaction tells. */
export async function appendAuditEntries(sql: Sql, entries: readonly AuditEntry[]): Promise<void> {
  await sql.query(
    `insert into audit_log (event, outcome, actor_id, subject_id, ip, user_agent, request_id, details)
     select event, outcome, actor_id, subject_id, ip, user_agent, request_id, details from json_to_recordset($1)
       as e (event text, outcome text, actor_id bigint, subject_id bigint, ip text, user_agent text, request_id text,
             details jsonb)`,
    [JSON.stringify(entries)],
  );
}
