import type { Params } from "../../lib/contract.ts";
import { invalidFields, ServiceError } from "../../lib/errors.ts";
import { readOneTimeToken } from "../../lib/one-time-token.ts";
import type { Actor } from "../../lib/principal.ts";
import { decodeUserId } from "../../lib/user-reference.ts";
import type { Account } from "../../mixins/accounts/account.ts";
import { findAccount, findCredentials, lockAccount } from "../../mixins/accounts/accounts.repository.ts";
import { changeAccount } from "../../mixins/accounts/change-account.ts";
import { appendAudit } from "../../mixins/accounts/audit.repository.ts";
import { consumeOneTimeToken } from "../../mixins/accounts/one-time-tokens.repository.ts";
import type { Transaction } from "../../mixins/database/database.ts";
import type { authContract } from "./auth.contract.ts";
import type { AuthDeps } from "./deps.ts";
import { checkAccountPassword } from "./password-policy.ts";
import { queuePasswordNotice, setPassword } from "./set-password.ts";

type Link = Params<typeof authContract.verifyEmail>;
type Form = Params<typeof authContract.verifyEmailByForm>;

/** The front end follows a mailed link. */
export async function verifyEmail(deps: AuthDeps, link: Link, actor: Actor): Promise<Record<string, never>> {
  const account = await linkedAccount(deps, link);
  await deps.db.transaction((tx) => confirm(deps, tx, link, account.id));
  deps.securityLog("user_updated", actor, { subject_id: account.id, change: "email_verified" });
  return {};
}

/**
 * A person opens a mailed link in a browser. Whoever holds the account's session just confirms. Everybody else shows that
 * the password is his, or sets a new one: it may have been registered by a stranger, who must not keep his way in.
 */
export async function verifyEmailByForm(deps: AuthDeps, form: Form, actor: Actor): Promise<Record<string, never>> {
  const account = await linkedAccount(deps, form);
  if (form.new_password !== undefined) return await verifyAndTakeOver(deps, form, form.new_password, account, actor);
  if (actor.principal?.userId === account.id) return await verifyEmail(deps, form, actor);
  const credentials = await findCredentials(deps.db, { id: account.id });
  const { matches } = await deps.passwords.verify(form.password ?? "", credentials?.passwordHash, actor);
  if (!matches) {
    deps.securityLog("authn_login_fail", actor, { subject_id: account.id });
    throw invalidFields({ password: "The password is not right." });
  }
  return await verifyEmail(deps, form, actor);
}

async function verifyAndTakeOver(deps: AuthDeps, form: Form, password: string, account: Account, actor: Actor) {
  const { id } = account;
  checkAccountPassword(deps.config, "new_password", password, account);
  const passwordHash = await deps.passwords.hash(password, actor);
  await deps.db.transaction(async (tx) => {
    const verified = await confirm(deps, tx, form, id);
    await queuePasswordNotice(tx, await setPassword(tx, verified, passwordHash, "registration-disowned"));
    await appendAudit(tx, "authn_password_change", actor, { subjectId: id, details: { by: "disowned registration" } });
  });
  deps.securityLog("authn_password_change", actor, { subject_id: id, by: "disowned registration" });
  return {};
}

async function linkedAccount(deps: AuthDeps, link: Link): Promise<Account> {
  const account = await findAccount(deps.db, decodeUserId(link.user_reference) ?? 0);
  if (!account) throw new ServiceError("not_found");
  return account;
}

/** Uses the link up and marks the address, if it is still the one that the link was mailed to. */
async function confirm(deps: AuthDeps, tx: Transaction, link: Link, userId: number): Promise<Account> {
  const account = await lockAccount(tx, userId);
  const id = readOneTimeToken(deps.keys.oneTime, "verify-email", link.token);
  const token = account && id !== undefined && { id, userId, purpose: "verify-email" as const, address: account.email };
  if (!token || !(await consumeOneTimeToken(tx, token))) throw new ServiceError("invalid_link");
  if (account.isEmailVerified) return account;
  return await changeAccount(tx, account, { isEmailVerified: true }, { type: "user.email_verified", data: {} });
}
