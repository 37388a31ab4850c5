import type { Params, Result } from "../../lib/contract.ts";
import { ServiceError } from "../../lib/errors.ts";
import type { Actor } from "../../lib/principal.ts";
import type { Account } from "../../mixins/accounts/account.ts";
import { lockAccount } from "../../mixins/accounts/accounts.repository.ts";
import { appendAudit } from "../../mixins/accounts/audit.repository.ts";
import { changeDetails } from "../../mixins/accounts/changed-fields.ts";
import { changeAccount } from "../../mixins/accounts/change-account.ts";
import { consumeOneTimeToken } from "../../mixins/accounts/one-time-tokens.repository.ts";
import type { Transaction } from "../../mixins/database/database.ts";
import { readAccountLink, type AccountLink } from "./account-link.ts";
import type { authContract } from "./auth.contract.ts";
import { demandPassword } from "./demand-password.ts";
import type { AuthDeps } from "./deps.ts";
import { checkAccountPassword } from "./password-policy.ts";
import { queuePasswordNotice, setPassword } from "./set-password.ts";
import { attemptLink } from "./throttling/link-attempts.ts";
import { beginAnew } from "./throttling/password-attempts.ts";

type Link = Params<typeof authContract.verifyEmail>;
type Form = Params<typeof authContract.verifyEmailByForm>;
type Verified = Result<typeof authContract.verifyEmailByForm>;

/** The front end follows a mailed link. */
export async function verifyEmail(deps: AuthDeps, link: Link, actor: Actor): Promise<Record<string, never>> {
  return await attemptLink(deps, actor, async () =>
    verify(deps, await readAccountLink(deps, "verify-email", link), actor),
  );
}

/**
 * A person opens a mailed link in a browser. Whoever holds the account's session just confirms. Everybody else shows that
 * the password is his, or sets a new one: it may have been registered by a stranger, who must not keep his way in.
 */
export async function verifyEmailByForm(deps: AuthDeps, form: Form, actor: Actor): Promise<Verified> {
  return await attemptLink(deps, actor, async () => {
    const linked = await readAccountLink(deps, "verify-email", form);
    if (form.new_password !== undefined) return await verifyAndTakeOver(deps, linked, form.new_password, actor);
    const { account } = linked;
    const password = form.password ?? "";
    if (actor.principal?.userId !== account.id)
      await demandPassword(deps, account, { field: "password", password }, actor);
    return await verify(deps, linked, actor);
  });
}

async function verify(deps: AuthDeps, linked: AccountLink, actor: Actor): Promise<Record<string, never>> {
  await deps.db.transaction((tx) => confirm(tx, linked, actor));
  deps.securityLog("user_updated", actor, { subject_id: linked.account.id, change: "email_verified" });
  return {};
}

async function verifyAndTakeOver(
  deps: AuthDeps,
  linked: AccountLink,
  password: string,
  actor: Actor,
): Promise<Verified> {
  const { id } = linked.account;
  checkAccountPassword(deps.config, "new_password", password, linked.account);
  const passwordHash = await deps.passwords.hash(password, actor);
  const changed = await deps.db.transaction(async (tx) => {
    const verified = await confirm(tx, linked, actor);
    const secured = await setPassword(tx, verified, passwordHash, "registration-disowned");
    await queuePasswordNotice(tx, secured);
    await appendAudit(tx, "authn_password_change", actor, { subjectId: id, details: { by: "disowned registration" } });
    return secured;
  });
  deps.securityLog("authn_password_change", actor, { subject_id: id, by: "disowned registration" });
  return await beginAnew(deps, changed, actor);
}

/** Uses the link up and marks the address, if it is still the one that the link was mailed to. */
async function confirm(
  tx: Transaction,
  { account: { id: userId }, tokenId: id }: AccountLink,
  actor: Actor,
): Promise<Account> {
  const account = await lockAccount(tx, userId);
  const token = account && { id, userId, purpose: "verify-email" as const, address: account.email };
  if (!token || !(await consumeOneTimeToken(tx, token))) throw new ServiceError("invalid_link");
  if (account.isEmailVerified) return account;
  const event = { type: "user.email_verified", data: {} } as const;
  const verified = await changeAccount(tx, account, { isEmailVerified: true }, event);
  const details = { by: "verify-email", ...changeDetails(account, verified) };
  await appendAudit(tx, "user_updated", actor, { subjectId: userId, details });
  return verified;
}
