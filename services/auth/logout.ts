import type { Params } from "../../lib/contract.ts";
import type { Actor } from "../../lib/principal.ts";
import { endSession } from "../../mixins/accounts/sessions.repository.ts";
import type { authContract } from "./auth.contract.ts";
import type { AuthDeps } from "./deps.ts";
import { readRefreshToken } from "./refresh-token.ts";

/** Somebody signs out: the session ends on the server, whichever of the two tokens names it. */
export async function logout(
  deps: AuthDeps,
  input: Params<typeof authContract.logout>,
  actor: Actor,
): Promise<Record<string, never>> {
  const refreshed = readRefreshToken(deps.keys.refresh, input.refresh_token ?? "");
  const sessions = new Set([actor.principal?.sessionId, refreshed?.sessionId]);
  for (const id of sessions) {
    if (id === undefined) continue;
    await endSession(deps.db, id, "logout");
    deps.securityLog("session_logout", actor, { session_id: id });
  }
  return {};
}
