import { readTogether } from "../../lib/errors.ts";
import type { Params, Result } from "../../lib/contract.ts";
import type { Actor } from "../../lib/principal.ts";
import { fullName, fullView, imageUrl, type Account } from "../../mixins/accounts/account.ts";
import { createAccount } from "../../mixins/accounts/change-account.ts";
import { queueMail } from "../../mixins/accounts/mails.repository.ts";
import type { AccountEvent } from "../../mixins/accounts/outbox.repository.ts";
import { readEmail, readProfile } from "../../mixins/accounts/profile-input.ts";
import type { authContract } from "./auth.contract.ts";
import type { AuthDeps } from "./deps.ts";
import { checkNewPassword } from "./password-policy.ts";
import { queueVerificationMail } from "./send-verification.ts";
import { startSession } from "./start-session.ts";

type Registration = Params<typeof authContract.register>;
type Registered = Result<typeof authContract.register>;

/** Somebody registers: account, profile, session, event and verification mail come to be together, or none of them. */
export async function register(deps: AuthDeps, input: Registration, actor: Actor): Promise<Registered> {
  const account = await readNewAccount(deps, input, input.role);
  const registered = await deps.db.transaction(async (tx) => {
    const created = await createAccount(tx, { ...account, isEmailVerified: false }, (c) => registeredEvent(deps, c));
    await queueVerificationMail(deps, tx, created);
    const tokens = await startSession(deps, tx, created, actor, input.expires_session);
    return { user: fullView(created, deps.config.publicUrl, deps.clock.now()), tokens };
  });
  deps.securityLog("user_created", actor, { subject_id: registered.user.id, role: input.role });
  return registered;
}

/** A moderator makes another one: the address is taken on trust, and nobody is signed in. */
export async function createModerator(
  deps: AuthDeps,
  input: Params<typeof authContract.createModerator>,
  actor: Actor,
): Promise<Result<typeof authContract.createModerator>> {
  const account = await readNewAccount(deps, input, "MO");
  const created = await deps.db.transaction(async (tx) => {
    const moderator = await createAccount(tx, { ...account, isEmailVerified: true }, (c) => registeredEvent(deps, c));
    await queueMail(tx, {
      kind: "welcome-moderator",
      userId: moderator.id,
      address: moderator.email,
      data: { role: "MO", first_name: moderator.profile.firstName },
    });
    return moderator;
  });
  deps.securityLog("user_created", actor, { subject_id: created.id, role: "MO" });
  return fullView(created, deps.config.publicUrl, deps.clock.now());
}

async function readNewAccount<R extends Registration["role"] | "MO">(
  deps: AuthDeps,
  input: Pick<Registration, "email" | "password" | "user_profile">,
  role: R,
) {
  const { email: typed, password, user_profile: sent } = input;
  const known = [typed, sent.first_name, sent.last_name, deps.config.companyName];
  const [email, profile] = readTogether(
    () => readEmail(typed),
    () => readProfile(deps.config, sent, { role, now: deps.clock.now() }),
    () => checkNewPassword("password", password, known),
  );
  // Before a database connection is taken: it would be held for the tenth of a second that a hash takes.
  return { email, profile, role, passwordHash: await deps.passwords.hash(password) };
}

const registeredEvent = (deps: AuthDeps, { role, profile }: Account): AccountEvent => ({
  type: "user.registered",
  data: { role, full_name: fullName(profile), image_url: imageUrl(deps.config.publicUrl, profile) },
});
