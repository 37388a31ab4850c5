import { isIP } from "node:net";
import type { Params, Result } from "../../lib/contract.ts";
import { openCursor, sealCursor } from "../../lib/cursor.ts";
import { invalidFields, readTogether, ServiceError } from "../../lib/errors.ts";
import { readIsoTime } from "../../lib/iso-time.ts";
import type { Actor } from "../../lib/principal.ts";
import { appendAudit } from "../../mixins/accounts/audit.repository.ts";
import { listAuditRows, type AuditPosition } from "./audit.repository.ts";
import type { UsersDeps } from "./deps.ts";
import type { usersContract } from "./users.contract.ts";

type Query = Params<typeof usersContract.listAudit>;

/** A moderator looks who did what, page by page, the newest first. That he looked is written down as well. */
export async function listAudit(
  { db, cursorKeys, securityLog }: UsersDeps,
  query: Query,
  actor: Actor,
): Promise<Result<typeof usersContract.listAudit>> {
  const { actor: actorId, subject, event, outcome, limit } = query;
  const [from, to, ip] = readTogether(
    () => readTime("from", query.from),
    () => readTime("to", query.to),
    () => readIp(query.ip),
  );
  const after = query.after === undefined ? undefined : readPosition(openCursor(cursorKeys, query.after));
  const filter = { actor: actorId, subject, event, outcome, ip, from, to };
  const filters = Object.entries(filter).flatMap(([name, value]) => (value === undefined ? [] : [name]));
  const found = await db.transaction(async (tx) => {
    // One more than asked for tells whether there is a next page.
    const rows = await listAuditRows(tx, filter, after, limit + 1);
    await appendAudit(tx, "sensitive_read", actor, { subjectId: subject, details: { object: "audit_log", filters } });
    return rows;
  });
  securityLog("sensitive_read", actor, { subject_id: subject, object: "audit_log" });
  const entries = found.slice(0, limit);
  const last = found.length > entries.length ? entries.at(-1) : undefined;
  const next = last ? sealCursor(cursorKeys, { at: last.occurred_at, id: last.id } satisfies AuditPosition) : null;
  return { entries, next };
}

function readTime(field: "from" | "to", text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const time = readIsoTime(text);
  if (time === undefined) throw invalidFields({ [field]: "Enter a time such as 2026-12-31T18:00:00Z." });
  return time;
}

function readIp(text: string | undefined): string | undefined {
  if (text !== undefined && isIP(text) === 0) throw invalidFields({ ip: "Enter a valid IP address." });
  return text;
}

/** A cursor of the list of users is ours as well, and says nothing here. */
function readPosition(position: unknown): AuditPosition {
  const { at, id } = position as Partial<AuditPosition>;
  if (at === undefined || id === undefined) throw new ServiceError("invalid_cursor");
  return { at, id };
}
