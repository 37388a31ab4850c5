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
import { beginAnew } from "./throttling/password-attempts.ts";
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
  const spent = await deps.throttle.spend(actor, "password-changes", ofAddress(before.emailCanonical));
  const passwordHash = await hashOrTakeBack(deps, input.new_password, spent, actor);
  const { tokens, changed } = await deps.db.transaction(async (tx) => {
    const account = await lockAccount(tx, userId);
    const session = await lockLiveSession(tx, sessionId);
    if (!account?.isActive || !session) throw new ServiceError("session_ended");
    const changed = await setPassword(tx, account, passwordHash, "password");
    await queuePasswordNotice(tx, changed);
    await appendAudit(tx, "authn_password_change", actor, { subjectId: userId });
    return { tokens: await startSession(deps, tx, changed, actor, session.browserSession), changed };
  });
  const device = await beginAnew(deps, changed, actor);
  deps.securityLog("authn_password_change", actor, { subject_id: userId });
  return { ...tokens, ...device };
}

/** Where too many hashes wait nothing has been changed, and nobody is told. */
async function hashOrTakeBack({ passwords, throttle }: AuthDeps, password: string, spent: string, actor: Actor) {
  try {
    return await passwords.hash(password, actor);
  } catch (error) {
    await throttle.takeBack([spent]).catch(() => undefined);
    throw error;
  }
}
