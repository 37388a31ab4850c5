import type { Params } from "../../lib/contract.ts";
import { readEmailAddress } from "../../lib/email-address.ts";
import { ServiceError } from "../../lib/errors.ts";
import type { Actor } from "../../lib/principal.ts";
import { findCredentials, lockAccount, recordLogin, replaceHash } from "../../mixins/accounts/accounts.repository.ts";
import type { authContract, SessionTokens } from "./auth.contract.ts";
import type { AuthDeps } from "./deps.ts";
import { startSession } from "./start-session.ts";

/**
 * Somebody signs in. An unknown address, a wrong password and an inactive account get the same answer after the same
 * time: one hash is compared in each case.
 */
export async function login(
  deps: AuthDeps,
  input: Params<typeof authContract.login>,
  actor: Actor,
): Promise<SessionTokens> {
  const email = readEmailAddress(input.email);
  const credentials = email && (await findCredentials(deps.db, { canonicalEmail: email.canonical }));
  const { matches, outdated } = await deps.passwords.verify(input.password, credentials?.passwordHash, actor);
  if (!credentials || !matches || !credentials.isActive) {
    deps.securityLog("authn_login_fail", actor, { subject_id: credentials?.id });
    throw new ServiceError("invalid_credentials");
  }
  const newHash = outdated ? await deps.passwords.hash(input.password, actor) : undefined;
  const tokens = await deps.db.transaction(async (tx) => {
    const account = await lockAccount(tx, credentials.id);
    // The password may have been changed, or the account deactivated, while the hash was compared.
    const unchanged = (await findCredentials(tx, { id: credentials.id }))?.passwordHash === credentials.passwordHash;
    if (!account?.isActive || !unchanged) throw new ServiceError("invalid_credentials");
    await recordLogin(tx, account.id);
    if (newHash !== undefined) await replaceHash(tx, account.id, newHash);
    return await startSession(deps, tx, account, actor, input.expires_session);
  });
  deps.securityLog("authn_login_success", actor, { subject_id: credentials.id });
  return tokens;
}
