import { timingSafeEqual } from "node:crypto";
import type { Params } from "../../lib/contract.ts";
import { ServiceError } from "../../lib/errors.ts";
import type { Actor } from "../../lib/principal.ts";
import type { Account } from "../../mixins/accounts/account.ts";
import { findAccount } from "../../mixins/accounts/accounts.repository.ts";
import { appendAudit } from "../../mixins/accounts/audit.repository.ts";
import { queueMail } from "../../mixins/accounts/mails.repository.ts";
import {
  endSession,
  findSessionOwner,
  lockLiveSession,
  rotateSession,
  stolenLately,
} from "../../mixins/accounts/sessions.repository.ts";
import type { Transaction } from "../../mixins/database/database.ts";
import type { authContract, SessionTokens } from "./auth.contract.ts";
import type { AuthDeps } from "./deps.ts";
import { adoptSession, readPresentedToken, type PresentedToken } from "./legacy-session.ts";
import { successorOf } from "./refresh-token.ts";
import { sessionTokens } from "./start-session.ts";
import { ofNetwork } from "./throttling/subjects.ts";

/** How long an old token still gets the successor that was already given for it: a lost answer on a mobile network. */
const graceSeconds = 30;

/**
 * Somebody exchanges a refresh token. Each is good for one exchange; the same one again within the grace time, while its
 * successor is unused, gives the same successor. Any other use of an old token means that two parties hold it: the
 * session ends.
 */
export async function refresh(
  deps: AuthDeps,
  input: Params<typeof authContract.refresh>,
  actor: Actor,
): Promise<SessionTokens> {
  const presented = readPresentedToken(deps, input.refresh_token);
  if (!presented) return await refuseGuess(deps, input.refresh_token, actor);
  const { tokens, event, subjectId } = await rotate(deps, presented, actor);
  const session_id = presented.sessionId;
  if (event === "session_use_after_expire") deps.refusals.tell(event, actor, { subjectId, details: { session_id } });
  else if (event) deps.securityLog(event, actor, { subject_id: subjectId, session_id });
  if (!tokens) throw new ServiceError("invalid_token");
  return tokens;
}

/**
 * Counted when it has failed, so that a good token costs nothing more, whatever else comes from its network. One that we made
 * and that no longer counts is no guess: many sessions end behind one address. Neither is asking with none: any page does.
 */
async function refuseGuess({ throttle }: AuthDeps, token: string, actor: Actor): Promise<never> {
  if (token !== "") await throttle.spend(actor, "wrong-refresh-tokens-from-ip", ofNetwork(actor));
  throw new ServiceError("invalid_token");
}

interface Outcome {
  readonly tokens?: SessionTokens;
  readonly event?: "session_renewed" | "authn_token_reuse" | "session_use_after_expire";
  /** Whose session it is. */
  readonly subjectId?: number;
}

/** The outcome is returned and not thrown: ending a stolen session must be committed. */
async function rotate(deps: AuthDeps, presented: PresentedToken, actor: Actor): Promise<Outcome> {
  return await deps.db.transaction(async (tx): Promise<Outcome> => {
    await adoptSession(deps, tx, presented, actor);
    const session = await lockLiveSession(tx, presented.sessionId);
    if (!session) {
      const owner = await findSessionOwner(tx, presented.sessionId);
      return { event: "session_use_after_expire", ...(owner !== undefined && { subjectId: owner }) };
    }
    // An access cookie of one account with a refresh cookie of another: somebody planted one of them.
    if (actor.principal && actor.principal.userId !== session.userId) return {};
    const account = await findAccount(tx, session.userId);
    if (!account?.isActive) return {};
    const next = successorOf(deps.keys.refresh, presented);
    const tokens = sessionTokens(deps, account, next, session);
    if (timingSafeEqual(presented.hash, session.refreshHash)) {
      await rotateSession(tx, session.id, next.hash, deps.config.refreshTokenTtl);
      return { tokens, event: "session_renewed", subjectId: account.id };
    }
    // The successor is still the current token, so nobody has used it.
    const again = session.previousRefreshHash && timingSafeEqual(presented.hash, session.previousRefreshHash);
    if (again && session.secondsSinceRotation <= graceSeconds) return { tokens };
    // A request that its own client gave up and overtook; and a thief who hangs up has gained nothing.
    if (deps.abandoned.has(actor.call)) return {};
    await endStolenSession(tx, account, session.id, actor);
    return { event: "authn_token_reuse", subjectId: account.id };
  });
}

/** Of an hour. Whoever registered the address of a stranger could have him told without end. */
const mostNotices = 3;

/** One of two parties that hold the token is not the owner, who is told. */
async function endStolenSession(tx: Transaction, account: Account, sessionId: string, actor: Actor): Promise<void> {
  await endSession(tx, sessionId, "reuse");
  const { id: subjectId, email: address, role, profile } = account;
  const data = { role, first_name: profile.firstName };
  if ((await stolenLately(tx, subjectId)) <= mostNotices)
    await queueMail(tx, { kind: "session-reuse", userId: subjectId, address, data });
  await appendAudit(tx, "authn_token_reuse", actor, { subjectId, details: { session_id: sessionId } });
}
