import type { Params, Result } from "../../lib/contract.ts";
import { readEmailAddress } from "../../lib/email-address.ts";
import { invalidFields, ServiceError } from "../../lib/errors.ts";
import { readOneTimeToken } from "../../lib/one-time-token.ts";
import type { Actor } from "../../lib/principal.ts";
import { decodeUserId } from "../../lib/user-reference.ts";
import type { Account } from "../../mixins/accounts/account.ts";
import { findAccount, lockAccount } from "../../mixins/accounts/accounts.repository.ts";
import { appendAudit } from "../../mixins/accounts/audit.repository.ts";
import { changeAccount } from "../../mixins/accounts/change-account.ts";
import { changeDetails } from "../../mixins/accounts/changed-fields.ts";
import {
  consumeOneTimeToken,
  endOneTimeTokens,
  endTokensSince,
  findOneTimeToken,
  reserveAddress,
} from "../../mixins/accounts/one-time-tokens.repository.ts";
import { endAllSessions, lockLiveSession } from "../../mixins/accounts/sessions.repository.ts";
import type { Transaction } from "../../mixins/database/database.ts";
import type { authContract } from "./auth.contract.ts";
import { demandPassword } from "./demand-password.ts";
import type { AuthDeps } from "./deps.ts";
import { checkAccountPassword } from "./password-policy.ts";
import { queuePasswordNotice } from "./set-password.ts";
import { attemptLink } from "./throttling/link-attempts.ts";
import { beginAnew } from "./throttling/password-attempts.ts";

type EmailLink = Params<typeof authContract.confirmEmail>;
type Followed = Result<typeof authContract.confirmEmail>;

/**
 * Somebody follows the link to a new address, or the one by which the old address takes the change back. To confirm takes
 * the account's session or password: whoever asked for the change may have named the address of a stranger, who would
 * make another's account his own, with a password that he did not set.
 */
export async function followEmailLink(deps: AuthDeps, link: EmailLink, actor: Actor): Promise<Followed> {
  return await attemptLink(deps, actor, () => follow(deps, link, actor));
}

async function follow(deps: AuthDeps, link: EmailLink, actor: Actor): Promise<Followed> {
  const userId = decodeUserId(link.user_reference) ?? 0;
  const tokenId = readOneTimeToken(deps.keys.oneTime, link.purpose, link.token);
  const known = await findAccount(deps.db, userId);
  if (!known) throw new ServiceError("not_found");
  if (tokenId === undefined) throw new ServiceError("invalid_link");
  const passwordHash =
    link.purpose === "undo-email" ? await hashNewPassword(deps, link, tokenId, known, actor) : undefined;
  const sessionId = actor.principal?.userId === userId ? actor.principal.sessionId : undefined;
  if (passwordHash === undefined && sessionId === undefined)
    await demandPassword(deps, known, { field: "password", password: link.password }, actor);
  const secured = await deps.db.transaction(async (tx) => {
    const account = await lockAccount(tx, userId);
    if (!account) throw new ServiceError("not_found");
    // Signed out meanwhile: he is asked for the password after all.
    if (passwordHash === undefined && sessionId !== undefined && !(await lockLiveSession(tx, sessionId)))
      throw invalidFields({ password: "This field is required." });
    const after =
      passwordHash === undefined ? await confirm(tx, account, tokenId) : await undo(tx, account, tokenId, passwordHash);
    const details = { by: link.purpose, ...changeDetails(account, after) };
    await appendAudit(tx, "user_updated", actor, { subjectId: userId, details });
    if (passwordHash === undefined) return undefined;
    await queuePasswordNotice(tx, after);
    await appendAudit(tx, "authn_password_change", actor, { subjectId: userId, details: { by: link.purpose } });
    return after;
  });
  deps.securityLog("user_updated", actor, { subject_id: userId, change: link.purpose });
  return secured ? await beginAnew(deps, secured, actor) : {};
}

/** Whoever asked for the change gave the password: it is no longer the owner's alone, so the owner sets a new one. */
async function hashNewPassword(
  deps: AuthDeps,
  link: EmailLink,
  tokenId: string,
  account: Account,
  actor: Actor,
): Promise<string> {
  const password = link.new_password;
  if (password === undefined) throw invalidFields({ new_password: "This field is required." });
  const token = await findOneTimeToken(deps.db, tokenId);
  if (!token) throw new ServiceError("invalid_link");
  // What somebody would try is the address that comes back.
  checkAccountPassword(deps.config, "new_password", password, { ...account, email: token.address });
  return await deps.passwords.hash(password, actor);
}

/** The new address counts, and counts as verified: its owner has just shown that he reads it. */
async function confirm(tx: Transaction, account: Account, id: string): Promise<Account> {
  const email = readEmailAddress(account.pendingEmail ?? "");
  const token = { id, userId: account.id, purpose: "confirm-email" as const, address: account.pendingEmail ?? "" };
  if (!account.isActive || !email || !(await consumeOneTimeToken(tx, token))) throw new ServiceError("invalid_link");
  // An address that nobody has verified is nobody's: its real owner must be able to register it.
  if (account.isEmailVerified)
    await reserveAddress(tx, account.id, { address: account.email, canonical: account.emailCanonical });
  // Links to the old address would work again if the account ever came back to it.
  await endOneTimeTokens(tx, account.id);
  const to = { email, pendingEmail: null, isEmailVerified: true };
  return await changeAccount(tx, account, to, { type: "user.email_changed", data: {} });
}

/**
 * Whoever reads the old address did not want this. The address comes back, and everything that a thief may hold ends:
 * password, sessions and links.
 */
async function undo(tx: Transaction, account: Account, id: string, passwordHash: string): Promise<Account> {
  const address = await consumeOneTimeToken(tx, { id, userId: account.id, purpose: "undo-email" });
  const email = address === undefined ? undefined : readEmailAddress(address);
  if (!email) throw new ServiceError("invalid_link");
  await endTokensSince(tx, account.id, id);
  await endAllSessions(tx, account.id, "email");
  const secured = { passwordHash, pendingEmail: null };
  const owned = await changeAccount(tx, account, secured, { type: "user.password_changed", data: {} });
  if (email.canonical === account.emailCanonical) return owned;
  return await changeAccount(tx, owned, { email, isEmailVerified: true }, { type: "user.email_changed", data: {} });
}
