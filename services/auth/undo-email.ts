import type { Params, Result } from "../../lib/contract.ts";
import { readEmailAddress } from "../../lib/email-address.ts";
import { ServiceError } from "../../lib/errors.ts";
import type { Actor } from "../../lib/principal.ts";
import type { Account } from "../../mixins/accounts/account.ts";
import { lockAccount } from "../../mixins/accounts/accounts.repository.ts";
import { appendAudit } from "../../mixins/accounts/audit.repository.ts";
import { changeAccount } from "../../mixins/accounts/change-account.ts";
import { changeDetails } from "../../mixins/accounts/changed-fields.ts";
import {
  consumeOneTimeToken,
  endTokensSince,
  findOneTimeToken,
} from "../../mixins/accounts/one-time-tokens.repository.ts";
import { endAllSessions } from "../../mixins/accounts/sessions.repository.ts";
import type { Transaction } from "../../mixins/database/database.ts";
import { readAccountLink } from "./account-link.ts";
import type { authContract } from "./auth.contract.ts";
import type { AuthDeps } from "./deps.ts";
import { checkAccountPassword } from "./password-policy.ts";
import { queuePasswordNotice } from "./set-password.ts";
import { attemptLink } from "./throttling/link-attempts.ts";
import { beginAnew } from "./throttling/password-attempts.ts";

type Link = Params<typeof authContract.undoEmail>;
type Undone = Result<typeof authContract.undoEmail>;

/**
 * Whoever reads the old address takes a change of it back. Who asked for the change gave the password, so it is no longer
 * the owner's alone: he sets a new one.
 */
export async function undoEmail(deps: AuthDeps, link: Link, actor: Actor): Promise<Undone> {
  return await attemptLink(deps, actor, async () => {
    const { account: known, tokenId } = await readAccountLink(deps, "undo-email", link);
    const token = await findOneTimeToken(deps.db, tokenId);
    if (!token) throw new ServiceError("invalid_link");
    // What somebody would guess is the address that comes back.
    checkAccountPassword(deps.config, "new_password", link.new_password, { ...known, email: token.address });
    const passwordHash = await deps.passwords.hash(link.new_password, actor);
    const [by, subjectId] = ["undo-email", known.id];
    const secured = await deps.db.transaction(async (tx) => {
      const account = await lockAccount(tx, subjectId);
      if (!account) throw new ServiceError("not_found");
      const after = await moveBack(tx, account, tokenId, passwordHash);
      await appendAudit(tx, "user_updated", actor, { subjectId, details: { by, ...changeDetails(account, after) } });
      await queuePasswordNotice(tx, after);
      await appendAudit(tx, "authn_password_change", actor, { subjectId, details: { by } });
      return after;
    });
    deps.securityLog("user_updated", actor, { subject_id: subjectId, change: by });
    return await beginAnew(deps, secured, actor);
  });
}

/** The address comes back, and everything that a thief may hold ends: password, sessions and links. */
async function moveBack(tx: Transaction, account: Account, id: string, passwordHash: string): Promise<Account> {
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
