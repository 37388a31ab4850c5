import { randomUUID } from "node:crypto";
import { signAccessToken } from "../../lib/access-token.ts";
import type { Actor } from "../../lib/principal.ts";
import { insertSession, type LockedSession } from "../../mixins/accounts/sessions.repository.ts";
import type { Transaction } from "../../mixins/database/database.ts";
import type { SessionTokens } from "./auth.contract.ts";
import type { AuthDeps } from "./deps.ts";
import { deviceToken } from "./device-token.ts";
import { firstRefreshToken, type RefreshToken } from "./refresh-token.ts";

interface SessionOwner {
  readonly id: number;
  readonly sessionEpoch: number;
}

const maxUserAgent = 256;

/** A new session, its first pair of tokens and the device's; the caller's transaction decides whether it comes to be. */
export async function startSession(
  deps: AuthDeps,
  tx: Transaction,
  owner: SessionOwner,
  actor: Actor,
  browserSession: boolean,
): Promise<SessionTokens> {
  const refresh = firstRefreshToken(deps.keys.refresh, randomUUID());
  await insertSessionOf(deps, tx, owner, refresh, actor, browserSession);
  const device_id = deviceToken(deps.keys.device, owner, actor.device);
  const session = { browserSession, secondsLeft: deps.config.sessionMaxAge };
  return { ...sessionTokens(deps, owner, refresh, session), device_id };
}

/** A session that is continued with this refresh token, unless there is one with its id. */
export async function insertSessionOf(
  deps: AuthDeps,
  tx: Transaction,
  owner: SessionOwner,
  refresh: RefreshToken,
  actor: Actor,
  browserSession: boolean,
): Promise<void> {
  await insertSession(tx, {
    id: refresh.sessionId,
    userId: owner.id,
    refreshHash: refresh.hash,
    browserSession,
    ip: actor.ip,
    userAgent: actor.userAgent.slice(0, maxUserAgent),
    idleSeconds: deps.config.refreshTokenTtl,
    maxAgeSeconds: deps.config.sessionMaxAge,
  });
}

/** Neither token outlives its session. */
export function sessionTokens(
  { config, keys, clock }: AuthDeps,
  owner: SessionOwner,
  refresh: RefreshToken,
  { browserSession, secondsLeft }: Pick<LockedSession, "browserSession" | "secondsLeft">,
): SessionTokens {
  const refreshTtl = Math.min(config.refreshTokenTtl, Math.max(1, Math.floor(secondsLeft)));
  const accessTtl = Math.min(config.accessTokenTtl, refreshTtl);
  const claims = { userId: owner.id, sessionId: refresh.sessionId, epoch: owner.sessionEpoch };
  return {
    access_token: signAccessToken(keys.access, clock, accessTtl, claims),
    refresh_token: refresh.text,
    access_max_age: browserSession ? null : accessTtl,
    refresh_max_age: browserSession ? null : refreshTtl,
  };
}
