import { invalidFields } from "../../lib/errors.ts";
import type { Actor } from "../../lib/principal.ts";
import { findCredentials } from "../../mixins/accounts/accounts.repository.ts";
import type { Transaction } from "../../mixins/database/database.ts";
import type { AuthDeps } from "./deps.ts";

const wrong = { current_password: "The password is not right." };

/**
 * A stolen cookie must not be enough to take an account over (ASVS 7.5.1).
 * @returns the hash that was compared, for `demandUnchangedPassword`
 * @throws ServiceError `invalid_input` naming `current_password`
 */
export async function demandPassword(
  deps: AuthDeps,
  userId: number,
  password: string | undefined,
  actor: Actor,
): Promise<string> {
  if (password === undefined) throw invalidFields({ current_password: "This field is required." });
  const credentials = await findCredentials(deps.db, { id: userId });
  const { matches } = await deps.passwords.verify(password, credentials?.passwordHash, actor);
  if (matches && credentials) return credentials.passwordHash;
  deps.securityLog("authn_login_fail", actor, { subject_id: userId });
  throw invalidFields(wrong);
}

/** While the password was compared somebody else may have changed it. The caller holds the account's lock. */
export async function demandUnchangedPassword(tx: Transaction, userId: number, checkedHash: string): Promise<void> {
  const credentials = await findCredentials(tx, { id: userId });
  if (credentials?.passwordHash !== checkedHash) throw invalidFields(wrong);
}
