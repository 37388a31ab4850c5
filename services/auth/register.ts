import type { Params, Result } from "../../lib/contract.ts";
import { ServiceError } from "../../lib/errors.ts";
import type { Actor } from "../../lib/principal.ts";
import { fullView } from "../../mixins/accounts/account.ts";
import { lockAccount } from "../../mixins/accounts/accounts.repository.ts";
import { appendAudit } from "../../mixins/accounts/audit.repository.ts";
import { createAccount } from "../../mixins/accounts/change-account.ts";
import type { authContract } from "./auth.contract.ts";
import type { AuthDeps } from "./deps.ts";
import { once, rememberRequest, repeatable, type Earlier, type Repeatable } from "./idempotency.ts";
import { readNewAccount, registeredEvent, type CreateOptions } from "./new-account.ts";
import { queueVerificationMail } from "./send-verification.ts";
import { startSession } from "./start-session.ts";
import { ofNetwork } from "./throttling/subjects.ts";

type Registration = Params<typeof authContract.register>;
type Registered = Result<typeof authContract.register>;

/**
 * Somebody registers: account, profile, session, event and verification mail come to be together, or none of them. The
 * same request again, with the same `Idempotency-Key`, gets the same account and a session of its own.
 */
export async function register(
  deps: AuthDeps,
  input: Registration,
  actor: Actor,
  options: CreateOptions = {},
): Promise<Registered> {
  await deps.throttle.spend(actor, "registrations-from-ip", ofNetwork(actor));
  const request = repeatable(input.role, input);
  return await once(deps, request, actor, {
    create: () => createOnce(deps, input, actor, request, options),
    repeat: (earlier) => signInAgain(deps, earlier, input, actor),
  });
}

async function createOnce(
  deps: AuthDeps,
  input: Registration,
  actor: Actor,
  request: Repeatable | undefined,
  { sendEmail = true }: CreateOptions,
): Promise<Registered> {
  const account = await readNewAccount(deps, input, input.role, actor);
  const registered = await deps.db.transaction(async (tx) => {
    const created = await createAccount(tx, { ...account, isEmailVerified: false }, (c) => registeredEvent(deps, c));
    if (request) await rememberRequest(tx, request, created.id);
    if (sendEmail) await queueVerificationMail(deps, tx, created);
    await appendAudit(tx, "user_created", actor, { subjectId: created.id, details: { role: input.role } });
    const tokens = await startSession(deps, tx, created, actor, input.expires_session);
    return { user: fullView(created, deps.config.publicUrl, deps.clock.now()), tokens };
  });
  deps.securityLog("user_created", actor, { subject_id: registered.user.id, role: input.role });
  return registered;
}

/** The first answer was lost; its tokens lie nowhere, so there are new ones. */
async function signInAgain(
  deps: AuthDeps,
  { userId, sessionEpoch }: Earlier,
  input: Registration,
  actor: Actor,
): Promise<Registered> {
  const registered = await deps.db.transaction(async (tx) => {
    const account = await lockAccount(tx, userId);
    // The password may have been changed, or the account deactivated, while the hash was compared.
    if (!account?.isActive || account.sessionEpoch !== sessionEpoch) throw new ServiceError("idempotency_key_reused");
    await appendAudit(tx, "authn_login_success", actor, { subjectId: userId });
    const tokens = await startSession(deps, tx, account, actor, input.expires_session);
    return { user: fullView(account, deps.config.publicUrl, deps.clock.now()), tokens };
  });
  deps.securityLog("authn_login_success", actor, { subject_id: userId });
  return registered;
}
