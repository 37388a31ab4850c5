import type { Params } from "../../lib/contract.ts";
import { ServiceError } from "../../lib/errors.ts";
import type { Actor } from "../../lib/principal.ts";
import { findAccount, lockAccount } from "../../mixins/accounts/accounts.repository.ts";
import { appendAudit } from "../../mixins/accounts/audit.repository.ts";
import { lockLiveSession } from "../../mixins/accounts/sessions.repository.ts";
import type { authContract, SessionTokens } from "./auth.contract.ts";
import { demandPassword } from "./demand-password.ts";
import type { AuthDeps } from "./deps.ts";
import { checkAccountPassword } from "./password-policy.ts";
import { queuePasswordNotice, setPassword } from "./set-password.ts";
import { startSession } from "./start-session.ts";
import { forgetAttempts } from "./throttling/password-attempts.ts";
import { ofAddress } from "./throttling/subjects.ts";

/** Somebody changes his password: everybody else is signed out, and he goes on with a session of the same kind. */
export async function changePassword(
  deps: AuthDeps,
  input: Params<typeof authContract.changePassword>,
  actor: Actor,
): Promise<SessionTokens> {
  const { userId = 0, sessionId = "" } = actor.principal ?? {};
  const before = await findAccount(deps.db, userId);
  if (!before) throw new ServiceError("not_authenticated");
  checkAccountPassword(deps.config, "new_password", input.new_password, before);
  await demandPassword(deps, before, { field: "current_password", password: input.current_password }, actor);
  // The owner is told by mail of each, and the address need not be his.
  await deps.throttle.spend(actor, "password-changes", ofAddress(before.emailCanonical));
  const passwordHash = await deps.passwords.hash(input.new_password, actor);
  const tokens = await deps.db.transaction(async (tx) => {
    const account = await lockAccount(tx, userId);
    const session = await lockLiveSession(tx, sessionId);
    if (!account?.isActive || !session) throw new ServiceError("session_ended");
    const changed = await setPassword(tx, account, passwordHash, "password");
    await queuePasswordNotice(tx, changed);
    await appendAudit(tx, "authn_password_change", actor, { subjectId: userId });
    return await startSession(deps, tx, changed, actor, session.browserSession);
  });
  await forgetAttempts(deps, before.emailCanonical, actor);
  deps.securityLog("authn_password_change", actor, { subject_id: userId });
  return tokens;
}
