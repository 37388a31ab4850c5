import { verifyLegacyRefreshToken } from "../../lib/legacy-token.ts";
import type { Actor } from "../../lib/principal.ts";
import { lockAccount } from "../../mixins/accounts/accounts.repository.ts";
import { haveLegacySessionsEnded } from "../../mixins/accounts/sessions.repository.ts";
import type { Transaction } from "../../mixins/database/database.ts";
import type { AuthDeps } from "./deps.ts";
import { adoptedRefreshToken, readRefreshToken, type RefreshToken } from "./refresh-token.ts";
import { insertSessionOf } from "./start-session.ts";

/** A refresh token as it was sent: ours, or while the platform moves over one of the original. */
export interface PresentedToken extends RefreshToken {
  /** The account's id, when the original issued the token. */
  readonly legacyOwner?: number;
}

/** While the platform moves over nobody is signed out: until `LEGACY_TOKENS_UNTIL` the original's tokens count as well. */
export const legacyTokensCount = ({ config, clock }: AuthDeps): boolean =>
  config.legacyTokensUntil !== undefined && clock.now() < config.legacyTokensUntil;

export function readPresentedToken(deps: AuthDeps, text: string): PresentedToken | undefined {
  const { config, clock, keys } = deps;
  const ours = readRefreshToken(keys.refresh, text);
  if (ours || !legacyTokensCount(deps)) return ours;
  const legacyOwner = verifyLegacyRefreshToken(config.secrets, clock, text);
  return legacyOwner === undefined ? undefined : { ...adoptedRefreshToken(keys.refresh, text), legacyOwner };
}

/** A session whose current refresh token is the original's, unless it has been adopted before. */
export async function adoptSession(
  deps: AuthDeps,
  tx: Transaction,
  presented: PresentedToken,
  actor: Actor,
): Promise<void> {
  if (presented.legacyOwner === undefined) return;
  const owner = await lockAccount(tx, presented.legacyOwner);
  // "End all sessions" ends those of the original as well, which know no epoch; so does "end my other sessions".
  if (!owner?.isActive || owner.sessionEpoch !== 0 || (await haveLegacySessionsEnded(tx, owner.id))) return;
  await insertSessionOf(deps, tx, owner, presented, actor, false);
}
