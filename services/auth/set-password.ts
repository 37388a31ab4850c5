import type { Account } from "../../mixins/accounts/account.ts";
import { changeAccount } from "../../mixins/accounts/change-account.ts";
import { queueMail } from "../../mixins/accounts/mails.repository.ts";
import { endOneTimeTokens } from "../../mixins/accounts/one-time-tokens.repository.ts";
import { endAllSessions, type EndReason } from "../../mixins/accounts/sessions.repository.ts";
import type { Transaction } from "../../mixins/database/database.ts";

/**
 * Another password counts from now on, and what the old one opened ends: every session, every mailed link but those by
 * which an owner takes back a change of his address, and an address that waits for its confirmation.
 * @returns the account as it stands then; tokens for it need its new epoch
 */
export async function setPassword(
  tx: Transaction,
  account: Account,
  passwordHash: string,
  reason: EndReason,
): Promise<Account> {
  await endAllSessions(tx, account.id, reason);
  await endOneTimeTokens(tx, account.id);
  const to = { passwordHash, pendingEmail: null };
  return await changeAccount(tx, account, to, { type: "user.password_changed", data: {} });
}

/** The owner is told, in case it was not he. */
export async function queuePasswordNotice(tx: Transaction, { id, email, role, profile }: Account): Promise<void> {
  const data = { role, first_name: profile.firstName };
  await queueMail(tx, { kind: "password-changed", userId: id, address: email, data });
}
