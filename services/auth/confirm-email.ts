import type { Params } from "../../lib/contract.ts";
import { readEmailAddress } from "../../lib/email-address.ts";
import { invalidFields, ServiceError } from "../../lib/errors.ts";
import type { Actor } from "../../lib/principal.ts";
import type { Account } from "../../mixins/accounts/account.ts";
import { lockAccount } from "../../mixins/accounts/accounts.repository.ts";
import { appendAudit } from "../../mixins/accounts/audit.repository.ts";
import { changeAccount } from "../../mixins/accounts/change-account.ts";
import { changeDetails } from "../../mixins/accounts/changed-fields.ts";
import {
  consumeOneTimeToken,
  endOneTimeTokens,
  reserveAddress,
} from "../../mixins/accounts/one-time-tokens.repository.ts";
import { lockLiveSession } from "../../mixins/accounts/sessions.repository.ts";
import type { Transaction } from "../../mixins/database/database.ts";
import { readAccountLink } from "./account-link.ts";
import type { authContract } from "./auth.contract.ts";
import { demandPassword } from "./demand-password.ts";
import type { AuthDeps } from "./deps.ts";
import { attemptLink } from "./throttling/link-attempts.ts";

type Link = Params<typeof authContract.confirmEmail>;

/**
 * Somebody follows the link to a new address, which counts from now on. That takes the account's session or password: who
 * asked for the change may have named the address of a stranger, who would make another's account hers, with a password
 * that she did not set.
 */
export async function confirmEmail(deps: AuthDeps, link: Link, actor: Actor): Promise<Record<string, never>> {
  return await attemptLink(deps, actor, async () => {
    const { account: known, tokenId } = await readAccountLink(deps, "confirm-email", link);
    const sessionId = actor.principal?.userId === known.id ? actor.principal.sessionId : undefined;
    if (sessionId === undefined)
      await demandPassword(deps, known, { field: "password", password: link.password }, actor);
    await deps.db.transaction(async (tx) => {
      const account = await lockAccount(tx, known.id);
      if (!account) throw new ServiceError("not_found");
      // Signed out meanwhile: he is asked for the password after all.
      if (sessionId !== undefined && !(await lockLiveSession(tx, sessionId)))
        throw invalidFields({ password: "This field is required." });
      const after = await moveToNewAddress(tx, account, tokenId);
      const details = { by: "confirm-email", ...changeDetails(account, after) };
      await appendAudit(tx, "user_updated", actor, { subjectId: account.id, details });
    });
    deps.securityLog("user_updated", actor, { subject_id: known.id, change: "confirm-email" });
    return {};
  });
}

/** The new address counts as verified: its owner has just shown that he reads it. */
async function moveToNewAddress(tx: Transaction, account: Account, id: string): Promise<Account> {
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
