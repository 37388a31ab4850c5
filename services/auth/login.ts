import type { Params } from "../../lib/contract.ts";
import { readEmailAddress } from "../../lib/email-address.ts";
import { ServiceError } from "../../lib/errors.ts";
import type { Actor } from "../../lib/principal.ts";
import {
  findCredentials,
  lockAccount,
  recordLogin,
  replaceHash,
  type Credentials,
} from "../../mixins/accounts/accounts.repository.ts";
import type { authContract, SessionTokens } from "./auth.contract.ts";
import type { AuthDeps } from "./deps.ts";
import { startSession } from "./start-session.ts";

type Input = Params<typeof authContract.login>;

/**
 * Somebody signs in. An unknown address, a wrong password and an inactive account get the same answer after the same
 * time: one hash is compared in each case.
 */
export async function login(deps: AuthDeps, input: Input, actor: Actor): Promise<SessionTokens> {
  const checked = await checkCredentials(deps, input, actor);
  // Again where another sign-in has renewed the hash of the same password while it was compared here.
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

/** @throws ServiceError `invalid_credentials` */
async function checkCredentials(deps: AuthDeps, input: Input, actor: Actor): Promise<Checked> {
  const email = readEmailAddress(input.email);
  const credentials = email && (await findCredentials(deps.db, { canonicalEmail: email.canonical }));
  const { matches, outdated } = await deps.passwords.verify(input.password, credentials?.passwordHash, actor);
  if (!credentials || !matches || !credentials.isActive) {
    deps.securityLog("authn_login_fail", actor, { subject_id: credentials?.id });
    throw new ServiceError("invalid_credentials");
  }
  return { ...credentials, newHash: outdated ? await deps.passwords.hash(input.password, actor) : undefined };
}

/** @returns undefined when the hash is another one by now: the password may have been changed */
async function signIn(
  deps: AuthDeps,
  input: Input,
  { id, passwordHash, newHash }: Checked,
  actor: Actor,
): Promise<SessionTokens | undefined> {
  return await deps.db.transaction(async (tx) => {
    const account = await lockAccount(tx, id);
    if (!account?.isActive) throw new ServiceError("invalid_credentials");
    if ((await findCredentials(tx, { id }))?.passwordHash !== passwordHash) return undefined;
    await recordLogin(tx, id);
    if (newHash !== undefined) await replaceHash(tx, id, newHash);
    return await startSession(deps, tx, account, actor, input.expires_session);
  });
}
