import { invalidFields } from "../../lib/errors.ts";
import type { Actor } from "../../lib/principal.ts";
import type { Account } from "../../mixins/accounts/account.ts";
import { findCredentials } from "../../mixins/accounts/accounts.repository.ts";
import type { AuthDeps } from "./deps.ts";
import { attemptPassword } from "./throttling/password-attempts.ts";

interface Typed {
  /** How the request names it. */
  readonly field: "password" | "current_password";
  readonly password: string | undefined;
}

/**
 * A stolen cookie must not be enough to take an account over (ASVS 7.5.1). Whoever changes the account then has to see that
 * the session still lives: it ends when the password is changed meanwhile.
 * @throws ServiceError `invalid_input` naming the field, or `too_many_requests`
 */
export async function demandPassword(
  deps: AuthDeps,
  { id, emailCanonical: canonicalEmail }: Account,
  { field, password }: Typed,
  actor: Actor,
): Promise<void> {
  if (password === undefined) throw invalidFields({ [field]: "This field is required." });
  // A session of another account has no say here.
  const sessionId = actor.principal?.userId === id ? actor.principal.sessionId : undefined;
  const right = await attemptPassword(deps, { canonicalEmail, sessionId }, actor, async () => {
    const credentials = await findCredentials(deps.db, { id });
    const { matches } = await deps.passwords.verify(password, credentials?.passwordHash, actor);
    return matches ? { right: {} } : { subjectId: id };
  });
  if (!right) throw invalidFields({ [field]: "The password is not right." });
}
