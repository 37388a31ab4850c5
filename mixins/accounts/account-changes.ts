import { invalidFields } from "../../lib/errors.ts";
import type { EmailAddress } from "../../lib/email-address.ts";
import type { Role } from "../../lib/roles.ts";
import type { Transaction } from "../database/database.ts";
import { fullName, imageUrl, type Account, type Profile } from "./account.ts";
import { changeAccount } from "./change-account.ts";
import { endEveryOneTimeToken } from "./one-time-tokens.repository.ts";
import { tooYoung, type AgeRules } from "./profile-input.ts";
import { endAllSessions } from "./sessions.repository.ts";

/**
 * The single changes that stories are put together from. Each takes the locked account, changes it if there is anything
 * to change, tells the one event that belongs to it, and answers the account as it stands then.
 */
export interface ChangeRules {
  readonly publicUrl: string;
  readonly minAge: AgeRules["minAge"];
}

export async function changeProfile(
  rules: ChangeRules,
  tx: Transaction,
  account: Account,
  to: Partial<Profile>,
): Promise<Account> {
  const before = account.profile;
  const after = { ...before, ...to };
  if (!(Object.keys(after) as (keyof Profile)[]).some((key) => after[key] !== before[key])) return account;
  const facts = { full_name: fullName(after), image_url: imageUrl(rules.publicUrl, after) };
  const seenByOthers = facts.full_name !== fullName(before) || after.imagePath !== before.imagePath;
  const data = { role: account.role, ...facts, seen_by_others: seenByOthers };
  return await changeAccount(tx, account, { profile: to }, { type: "user.profile_updated", data });
}

export async function changeRole(
  rules: ChangeRules,
  tx: Transaction,
  account: Account,
  to: Role,
  now: number,
): Promise<Account> {
  if (to === account.role) return account;
  const { profile } = account;
  const problem = tooYoung(rules, to, profile.birthDate, now);
  if (problem !== undefined) throw invalidFields({ role: problem });
  const data = {
    from: account.role,
    to,
    first_time: !account.rolesHeld.includes(to),
    full_name: fullName(profile),
    image_url: imageUrl(rules.publicUrl, profile),
  };
  return await changeAccount(tx, account, { role: to }, { type: "user.role_changed", data });
}

export async function changeActivity(tx: Transaction, account: Account, isActive: boolean): Promise<Account> {
  if (isActive === account.isActive) return account;
  if (isActive) return await changeAccount(tx, account, { isActive }, { type: "user.reactivated", data: {} });
  await endAllSessions(tx, account.id, "deactivated");
  return await changeAccount(tx, account, { isActive }, { type: "user.deactivated", data: {} });
}

/** The address itself, at once: links mailed to the old one no longer work. */
export async function changeEmail(tx: Transaction, account: Account, email: EmailAddress): Promise<Account> {
  if (email.address === account.email) return account;
  await endEveryOneTimeToken(tx, account.id);
  return await changeAccount(tx, account, { email, pendingEmail: null }, { type: "user.email_changed", data: {} });
}

/** Taking the mark away is told as a change of the address: there is no event of its own, and consumers must look again. */
export async function changeVerification(
  tx: Transaction,
  account: Account,
  isEmailVerified: boolean,
): Promise<Account> {
  if (isEmailVerified === account.isEmailVerified) return account;
  const type = isEmailVerified ? "user.email_verified" : "user.email_changed";
  return await changeAccount(tx, account, { isEmailVerified }, { type, data: {} });
}
