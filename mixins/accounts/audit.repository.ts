import type { Actor } from "../../lib/principal.ts";
import type { SecurityEvent } from "../../lib/security-log.ts";
import type { Transaction } from "../database/database.ts";

/** One more line in the audit log: it stands there if, and only if, what it tells has happened. */
export async function appendAudit(
  tx: Transaction,
  event: SecurityEvent,
  actor: Actor,
  about: { readonly subjectId?: number; readonly details?: Readonly<Record<string, unknown>> } = {},
): Promise<void> {
  await tx.query(
    `insert into audit_log (event, actor_id, subject_id, ip, user_agent, request_id, details)
     values ($1, $2, $3, $4, $5, $6, $7)`,
    [
      event,
      actor.principal?.userId,
      about.subjectId,
      actor.ip,
      actor.userAgent.slice(0, 256),
      actor.requestId,
      about.details ?? {},
    ],
  );
}
