import type { Params } from "../../lib/contract.ts";
import { readEmailAddress } from "../../lib/email-address.ts";
import { errorType, ServiceError } from "../../lib/errors.ts";
import type { Actor } from "../../lib/principal.ts";
import {
  findCredentials,
  lockAccount,
  recordLogin,
  renewHash,
  type Credentials,
} from "../../mixins/accounts/accounts.repository.ts";
import { appendAudit } from "../../mixins/accounts/audit.repository.ts";
import type { authContract, SessionTokens } from "./auth.contract.ts";
import type { AuthDeps } from "./deps.ts";
import { startSession } from "./start-session.ts";
import { attemptPassword } from "./throttling/password-attempts.ts";

type Input = Params<typeof authContract.login>;

/**
 * Somebody signs in. An unknown address, a wrong password and an inactive account get the same answer after the same
 * time: one hash is compared in each case, or none while nobody may try.
 */
export async function login(deps: AuthDeps, input: Input, actor: Actor): Promise<SessionTokens> {
  const checked = await checkCredentials(deps, input, actor);
  // Again where every session was ended while the password was compared: it may be another one by now.
  const tokens =
    (await signIn(deps, input, checked, actor)) ??
    (await signIn(deps, input, await checkCredentials(deps, input, actor), actor));
  if (!tokens) throw new ServiceError("invalid_credentials");
  deps.securityLog("authn_login_success", actor, { subject_id: checked.id });
  return tokens;
}

interface Checked extends Credentials {
  /** The same password under the current cost and pepper, where the stored hash is older. */
  readonly newHash: string | undefined;
}

/** @throws ServiceError `invalid_credentials` or `too_many_requests` */
async function checkCredentials(deps: AuthDeps, input: Input, actor: Actor): Promise<Checked> {
  const canonicalEmail = readEmailAddress(input.email)?.canonical;
  const right = await attemptPassword(deps, { canonicalEmail }, actor, async () => {
    const found = canonicalEmail === undefined ? undefined : await findCredentials(deps.db, { canonicalEmail });
    // Whoever is inactive has no password: a right one would be right sooner than a wrong one is wrong.
    const credentials = found?.isActive === true ? found : undefined;
    const { matches, outdated } = await deps.passwords.verify(input.password, credentials?.passwordHash, actor);
    return credentials && matches ? { right: { credentials, outdated } } : { subjectId: found?.id };
  });
  if (!right) throw new ServiceError("invalid_credentials");
  return { ...right.credentials, newHash: right.outdated ? await hashAgain(deps, input.password, actor) : undefined };
}

/** Too many wait: the next sign-in may do it as well. */
async function hashAgain({ passwords }: AuthDeps, password: string, actor: Actor): Promise<string | undefined> {
  try {
    return await passwords.hash(password, actor);
  } catch (error) {
    if (errorType(error) === "unavailable") return undefined;
    throw error;
  }
}

/** @returns undefined when the password may have been changed since it was compared */
async function signIn(
  deps: AuthDeps,
  input: Input,
  { id, passwordHash, newHash, sessionEpoch }: Checked,
  actor: Actor,
): Promise<SessionTokens | undefined> {
  return await deps.db.transaction(async (tx) => {
    const account = await lockAccount(tx, id);
    if (!account?.isActive) throw new ServiceError("invalid_credentials");
    if (account.sessionEpoch !== sessionEpoch) return undefined;
    await recordLogin(tx, id);
    await appendAudit(tx, "authn_login_success", actor, { subjectId: id });
    if (newHash !== undefined) await renewHash(tx, id, passwordHash, newHash);
    return await startSession(deps, tx, account, actor, input.expires_session);
  });
}
