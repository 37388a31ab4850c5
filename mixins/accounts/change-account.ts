import { invalidFields, ServiceError } from "../../lib/errors.ts";
import type { Transaction } from "../database/database.ts";
import type { Account } from "./account.ts";
import {
  findAccount,
  insertAccount,
  updateAccount,
  type AccountColumns,
  type NewAccount,
} from "./accounts.repository.ts";
import { isReservedByAnother } from "./one-time-tokens.repository.ts";
import { appendEvent, type AccountEvent } from "./outbox.repository.ts";

export const emailTaken = "user with this email already exists.";
const taken = (): ServiceError => invalidFields({ email: emailTaken });

/** A new account and its first event, version 1. @throws ServiceError `invalid_input` when the address is taken */
export async function createAccount(
  tx: Transaction,
  account: NewAccount,
  event: (created: Account) => AccountEvent,
): Promise<Account> {
  const inserted = await insertAccount(tx, account);
  if (!inserted || (await isReservedByAnother(tx, account.email.canonical, inserted.id))) throw taken();
  await appendEvent(tx, inserted.id, inserted.version, event(inserted));
  return inserted;
}

/**
 * The one way in which an account changes: columns, version and event together, so that each user's events are a total
 * order without gaps. The caller has locked the row (`lockAccount`) and decided on what it saw there.
 * @returns the account after the change
 */
export async function changeAccount(
  tx: Transaction,
  before: Account,
  to: AccountColumns,
  event: AccountEvent | ((after: Account) => AccountEvent),
): Promise<Account> {
  if (!(await updateAccount(tx, before.id, to))) throw taken();
  if (to.email && (await isReservedByAnother(tx, to.email.canonical, before.id))) throw taken();
  const after = await findAccount(tx, before.id);
  if (!after) throw new ServiceError("not_found");
  await appendEvent(tx, after.id, after.version, typeof event === "function" ? event(after) : event);
  return after;
}
