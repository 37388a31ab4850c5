import type { Params, Result } from "../../lib/contract.ts";
import { ServiceError } from "../../lib/errors.ts";
import type { Actor, Principal } from "../../lib/principal.ts";
import { lockAccount } from "../../mixins/accounts/accounts.repository.ts";
import { appendAudit } from "../../mixins/accounts/audit.repository.ts";
import {
  endAllSessions,
  endLegacySessions,
  endOtherSessions,
  endOwnSession,
  listSessions,
} from "../../mixins/accounts/sessions.repository.ts";
import type { authContract } from "./auth.contract.ts";
import type { AuthDeps } from "./deps.ts";
import { legacyTokensCount } from "./legacy-session.ts";

const signedIn = ({ principal }: Actor): Principal => {
  if (!principal) throw new ServiceError("not_authenticated");
  return principal;
};

/** Somebody looks where he is signed in. */
export async function listOwnSessions(deps: AuthDeps, actor: Actor): Promise<Result<typeof authContract.listSessions>> {
  const { userId, sessionId } = signedIn(actor);
  const sessions = await listSessions(deps.db, userId);
  return sessions.map(({ id, createdAt, lastUsedAt, ip, userAgent }) => ({
    id,
    created_at: createdAt.toISOString(),
    last_used_at: lastUsedAt.toISOString(),
    ip,
    user_agent: userAgent,
    current: id === sessionId,
  }));
}

/** He signs one of his devices out, perhaps the one that he is using. Somebody else's session does not exist for him. */
export async function endOneSession(
  deps: AuthDeps,
  { id }: Params<typeof authContract.endSession>,
  actor: Actor,
): Promise<Result<typeof authContract.endSession>> {
  const { userId, sessionId } = signedIn(actor);
  await deps.db.transaction(async (tx) => {
    if (!(await endOwnSession(tx, userId, id))) throw new ServiceError("not_found");
    await appendAudit(tx, "session_logout", actor, { subjectId: userId, details: { session_id: id } });
  });
  deps.securityLog("session_logout", actor, { session_id: id });
  return { current: id === sessionId };
}

/** He signs all devices out but this one. */
export async function endOwnOtherSessions(deps: AuthDeps, actor: Actor): Promise<Record<string, never>> {
  const { userId, sessionId } = signedIn(actor);
  const ended = await deps.db.transaction(async (tx) => {
    await lockAccount(tx, userId);
    const legacy = legacyTokensCount(deps) && (await endLegacySessions(tx, userId));
    const count = await endOtherSessions(tx, userId, sessionId);
    if (count === 0 && !legacy) return undefined;
    await appendAudit(tx, "session_logout", actor, { subjectId: userId, details: { ended: count } });
    return count;
  });
  if (ended !== undefined) deps.securityLog("session_logout", actor, { ended });
  return {};
}

/** A moderator signs an account out everywhere. */
export async function endSessionsOf(
  deps: AuthDeps,
  { id }: Params<typeof authContract.endSessionsOf>,
  actor: Actor,
): Promise<Record<string, never>> {
  await deps.db.transaction(async (tx) => {
    const account = await lockAccount(tx, id);
    if (!account) throw new ServiceError("not_found");
    await endAllSessions(tx, id, "ended-by-moderator");
    await appendAudit(tx, "session_logout", actor, { subjectId: id });
  });
  deps.securityLog("session_logout", actor, { subject_id: id });
  return {};
}
