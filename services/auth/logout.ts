import type { Params } from "../../lib/contract.ts";
import type { Actor } from "../../lib/principal.ts";
import { appendAudit } from "../../mixins/accounts/audit.repository.ts";
import { endSession } from "../../mixins/accounts/sessions.repository.ts";
import type { authContract } from "./auth.contract.ts";
import type { AuthDeps } from "./deps.ts";
import { adoptSession, readPresentedToken } from "./legacy-session.ts";

/** Somebody signs out: the session ends on the server, whichever of the two tokens names it. */
export async function logout(
  deps: AuthDeps,
  input: Params<typeof authContract.logout>,
  actor: Actor,
): Promise<Record<string, never>> {
  const presented = readPresentedToken(deps, input.refresh_token ?? "");
  const sessions = new Set([actor.principal?.sessionId, presented?.sessionId]);
  for (const id of sessions) {
    if (id === undefined) continue;
    await deps.db.transaction(async (tx) => {
      // One of the original's that was never exchanged gets a session, so that there is something to end.
      if (id === presented?.sessionId) await adoptSession(deps, tx, presented, actor);
      const subjectId = await endSession(tx, id, "logout");
      if (subjectId !== undefined) {
        await appendAudit(tx, "session_logout", actor, { subjectId, details: { session_id: id } });
      }
    });
    deps.securityLog("session_logout", actor, { session_id: id });
  }
  return {};
}
