import type { Params, Result } from "../../lib/contract.ts";
import { ServiceError } from "../../lib/errors.ts";
import { readOneTimeToken } from "../../lib/one-time-token.ts";
import type { Actor } from "../../lib/principal.ts";
import { changeVerification } from "../../mixins/accounts/account-changes.ts";
import { findAccount, lockAccount } from "../../mixins/accounts/accounts.repository.ts";
import { appendAudit } from "../../mixins/accounts/audit.repository.ts";
import { changeDetails } from "../../mixins/accounts/changed-fields.ts";
import { consumeOneTimeToken, findOneTimeToken } from "../../mixins/accounts/one-time-tokens.repository.ts";
import type { authContract } from "./auth.contract.ts";
import type { AuthDeps } from "./deps.ts";
import { checkAccountPassword } from "./password-policy.ts";
import { queuePasswordNotice, setPassword } from "./set-password.ts";
import { attemptLink } from "./throttling/link-attempts.ts";
import { beginAnew } from "./throttling/password-attempts.ts";

type Input = Params<typeof authContract.resetPassword>;

type Done = Result<typeof authContract.resetPassword>;

/**
 * Somebody follows the link of a forgotten password and sets a new one. Everybody is signed out and nobody is signed in.
 * Whoever holds the link reads the address, so the address counts as verified.
 */
export async function resetPassword(deps: AuthDeps, input: Input, actor: Actor): Promise<Done> {
  return await attemptLink(deps, actor, () => follow(deps, input, actor));
}

async function follow(deps: AuthDeps, input: Input, actor: Actor): Promise<Done> {
  const id = readOneTimeToken(deps.keys.oneTime, "reset-password", input.token);
  const mailed = id === undefined ? undefined : await findOneTimeToken(deps.db, id);
  const known = mailed && (await findAccount(deps.db, mailed.userId));
  if (id === undefined || !known) throw new ServiceError("invalid_link");
  checkAccountPassword(deps.config, "new_password", input.new_password, known);
  const passwordHash = await deps.passwords.hash(input.new_password, actor);
  const changed = await deps.db.transaction(async (tx) => {
    const account = await lockAccount(tx, known.id);
    const token = { id, userId: known.id, purpose: "reset-password" as const, address: account?.email ?? "" };
    if (!account?.isActive || !(await consumeOneTimeToken(tx, token))) throw new ServiceError("invalid_link");
    const verified = await changeVerification(tx, account, true);
    const secured = await setPassword(tx, verified, passwordHash, "password");
    await queuePasswordNotice(tx, secured);
    if (verified !== account) {
      const details = { by: "reset link", ...changeDetails(account, verified) };
      await appendAudit(tx, "user_updated", actor, { subjectId: known.id, details });
    }
    await appendAudit(tx, "authn_password_change", actor, { subjectId: known.id, details: { by: "reset link" } });
    return secured;
  });
  deps.securityLog("authn_password_change", actor, { subject_id: known.id, by: "reset link" });
  return await beginAnew(deps, changed, actor);
}
