import type { AuditEntry } from "../../lib/audit.ts";
import { errorType } from "../../lib/errors.ts";
import type { Sent } from "../../lib/contract.ts";
import type { Actor } from "../../lib/principal.ts";
import type { SecurityLog } from "../../lib/security-log.ts";
import { AuditBuffer } from "../../mixins/audit/audit-buffer.ts";
import type { usersContract } from "../users/users.contract.ts";
import type { Route } from "./routes.ts";

type Reported = Sent<typeof usersContract.appendRefusals>;

/** What is refused at the door. A gateway has no database: `users` writes it down, many at once. */
export const openRefusals = (log: SecurityLog, send: (refusals: Reported) => Promise<unknown>): AuditBuffer =>
  new AuditBuffer(log, async (entries) => {
    await send({ entries: entries.map(asSent) });
  });

/** Of the details what the contract knows. */
const asSent = ({ details: { route, code, suppressed }, ...entry }: AuditEntry) => ({
  ...entry,
  details: {
    route: String(route),
    ...(typeof code === "string" && { code }),
    ...(typeof suppressed === "number" && { suppressed }),
  },
});

/** Somebody is signed in and may not do this, wherever that was decided. */
export function reportForbidden(
  refusals: AuditBuffer,
  { method, path, action }: Route,
  actor: Actor,
  params: Readonly<Record<string, unknown>>,
  error: unknown,
): void {
  const code = errorType(error);
  if (code !== "permission_denied" && code !== "email_not_verified") return;
  const subjectId = "id" in action.params ? accountOf(params["id"]) : undefined;
  refusals.tell("authz_fail", actor, { subjectId, details: { route: `${method} ${path}`, code } });
}

const accountOf = (id: unknown): number | undefined =>
  typeof id === "number" && Number.isSafeInteger(id) && id > 0 ? id : undefined;
