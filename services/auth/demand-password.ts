import { invalidFields } from "../../lib/errors.ts";
import type { Actor } from "../../lib/principal.ts";
import { findCredentials } from "../../mixins/accounts/accounts.repository.ts";
import type { AuthDeps } from "./deps.ts";

/**
 * A stolen cookie must not be enough to take an account over (ASVS 7.5.1). Whoever changes the account then has to see that
 * the session still lives: it ends when the password is changed meanwhile.
 * @throws ServiceError `invalid_input` naming `current_password`
 */
export async function demandPassword(
  deps: AuthDeps,
  userId: number,
  password: string | undefined,
  actor: Actor,
): Promise<void> {
  if (password === undefined) throw invalidFields({ current_password: "This field is required." });
  const credentials = await findCredentials(deps.db, { id: userId });
  const { matches } = await deps.passwords.verify(password, credentials?.passwordHash, actor);
  if (matches) return;
  deps.securityLog("authn_login_fail", actor, { subject_id: userId });
  throw invalidFields({ current_password: "The password is not right." });
}
