import type { Params } from "../../lib/contract.ts";
import { readTogether } from "../../lib/errors.ts";
import type { Actor } from "../../lib/principal.ts";
import { fullName, imageUrl, type Account } from "../../mixins/accounts/account.ts";
import type { AccountEvent } from "../../mixins/accounts/outbox.repository.ts";
import { readEmail, readProfile } from "../../mixins/accounts/profile-input.ts";
import type { authContract } from "./auth.contract.ts";
import type { AuthDeps } from "./deps.ts";
import { checkNewPassword } from "./password-policy.ts";

type Registration = Params<typeof authContract.register>;

export interface CreateOptions {
  /** False where the account's owner is told in another way. */
  readonly sendEmail?: boolean;
}

/** What somebody typed, in the form in which it is stored. @throws ServiceError `invalid_input` naming every field */
export async function readNewAccount<R extends Registration["role"] | "MO">(
  deps: AuthDeps,
  input: Pick<Registration, "email" | "password" | "user_profile">,
  role: R,
  actor: Actor,
) {
  const { email: typed, password, user_profile: sent } = input;
  const known = [typed, sent.first_name, sent.last_name, deps.config.companyName];
  const [email, profile] = readTogether(
    () => readEmail(typed),
    () => readProfile(deps.config, sent, { role, now: deps.clock.now() }),
    () => checkNewPassword("password", password, known),
  );
  // Before a database connection is taken: it would be held for the tenth of a second that a hash takes.
  return { email, profile, role, passwordHash: await deps.passwords.hash(password, actor) };
}

export const registeredEvent = ({ config }: AuthDeps, { role, profile }: Account): AccountEvent => ({
  type: "user.registered",
  data: { role, full_name: fullName(profile), image_url: imageUrl(config.publicUrl, profile) },
});
