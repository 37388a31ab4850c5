import type { Params } from "../../lib/contract.ts";
import { readEmailAddress } from "../../lib/email-address.ts";
import { ServiceError } from "../../lib/errors.ts";
import { readOneTimeToken } from "../../lib/one-time-token.ts";
import type { Actor } from "../../lib/principal.ts";
import { decodeUserId } from "../../lib/user-reference.ts";
import type { Account } from "../../mixins/accounts/account.ts";
import { lockAccount, setPendingEmail } from "../../mixins/accounts/accounts.repository.ts";
import { changeAccount } from "../../mixins/accounts/change-account.ts";
import { consumeOneTimeToken, endEveryOneTimeToken } from "../../mixins/accounts/one-time-tokens.repository.ts";
import { endAllSessions } from "../../mixins/accounts/sessions.repository.ts";
import type { Transaction } from "../../mixins/database/database.ts";
import type { authContract } from "./auth.contract.ts";
import type { AuthDeps } from "./deps.ts";

type EmailLink = Params<typeof authContract.confirmEmail>;

/** Somebody follows the link to a new address, or the one by which the old address takes the change back. */
export async function followEmailLink(deps: AuthDeps, link: EmailLink, actor: Actor): Promise<Record<string, never>> {
  const userId = decodeUserId(link.user_reference) ?? 0;
  const tokenId = readOneTimeToken(deps.keys.oneTime, link.purpose, link.token);
  await deps.db.transaction(async (tx) => {
    const account = await lockAccount(tx, userId);
    if (!account) throw new ServiceError("not_found");
    if (tokenId === undefined) throw new ServiceError("invalid_link");
    await (link.purpose === "confirm-email" ? confirm : undo)(tx, account, tokenId);
  });
  deps.securityLog("user_updated", actor, { subject_id: userId, change: link.purpose });
  return {};
}

/** The new address counts, and counts as verified: its owner has just shown that he reads it. */
async function confirm(tx: Transaction, account: Account, id: string): Promise<void> {
  const email = readEmailAddress(account.pendingEmail ?? "");
  const token = { id, userId: account.id, purpose: "confirm-email" as const, address: account.pendingEmail ?? "" };
  if (!email || !(await consumeOneTimeToken(tx, token))) throw new ServiceError("invalid_link");
  const to = { email, pendingEmail: null, isEmailVerified: true };
  await changeAccount(tx, account, to, { type: "user.email_changed", data: {} });
}

/**
 * Whoever reads the old address did not want this. The address comes back, and everything that a thief may hold ends:
 * sessions and links. The password may be his as well; the way on is to reset it.
 */
async function undo(tx: Transaction, account: Account, id: string): Promise<void> {
  const address = await consumeOneTimeToken(tx, { id, userId: account.id, purpose: "undo-email" });
  const email = address === undefined ? undefined : readEmailAddress(address);
  if (!email) throw new ServiceError("invalid_link");
  await endEveryOneTimeToken(tx, account.id);
  await endAllSessions(tx, account.id, "email");
  if (email.canonical === account.emailCanonical) {
    await setPendingEmail(tx, account.id, null);
    return;
  }
  const to = { email, pendingEmail: null, isEmailVerified: true, endSessions: true };
  await changeAccount(tx, account, to, { type: "user.email_changed", data: {} });
}
