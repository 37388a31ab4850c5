import { LRUCache } from "lru-cache";
import type { Context, ServiceSchema } from "moleculer";
import { verifyAccessToken, type AccessClaims } from "../../lib/access-token.ts";
import { keyRing } from "../../lib/keys.ts";
import type { Principal } from "../../lib/principal.ts";
import { repeat, type Loop } from "../../lib/repeat.ts";
import type { Node } from "../node.ts";
import { AccessStates, type AccessSource, type Standing } from "./access-states.ts";

export type AccessRefusal = "invalid_token" | "session_ended" | "inactive_account";
export type Access =
  | { readonly refusal: AccessRefusal }
  | { readonly refusal?: never; readonly principal: Principal; readonly isStaff: boolean };

export interface AccessGuard {
  /**
   * Who a token belongs to, as the account and the session stand; at once when that is known, which is the rule.
   * @throws ServiceError `unavailable` (or the broker's own errors) when that cannot be known: never "allowed"
   */
  check(token: string): Access | Promise<Access>;
}

/** Verified tokens are remembered: verifying one costs more than all the rest of a check. About 1 KB each. */
const maxTokens = 20_000;
const syncMs = 2000;
const invalid: Access = { refusal: "invalid_token" };

/**
 * One check for both gateways: signature, expiry, session and account, all from memory (DESIGN.md, rule 3). A ban, a role
 * change or a sign-out counts at once by broadcast, and within seconds if the broadcast was lost.
 */
export function createAccessGuard(
  { config, clock, log }: Node,
  source: AccessSource,
): {
  readonly guard: AccessGuard;
  /** Keeps it up to date; for the gateway's service. */ readonly mixin: Partial<ServiceSchema>;
} {
  const keys = keyRing(config.secrets, "access-token");
  const verified = new LRUCache<string, AccessClaims>({ max: maxTokens });
  const states = new AccessStates(source);
  let loop: Loop | undefined;

  const claimsOf = (token: string): AccessClaims | undefined => {
    const remembered = verified.get(token);
    if (remembered) return remembered.expiresAt * 1000 > clock.now() ? remembered : undefined;
    const claims = verifyAccessToken(keys, clock, token);
    // A copy: a piece of a `Cookie` header would keep all of it in memory, up to 16 KB instead of the token's 400 bytes.
    if (claims) verified.set(Buffer.from(token, "latin1").toString("latin1"), claims);
    return claims;
  };

  const check = (token: string): Access | Promise<Access> => {
    const claims = claimsOf(token);
    if (!claims) return invalid;
    const known = states.known(claims.userId, claims.sessionId);
    if (known) return decide(claims, known);
    return states.load(claims.userId, claims.sessionId).then((found) => (found ? decide(claims, found) : invalid));
  };

  return {
    guard: { check },
    mixin: {
      events: {
        // What a peer sends can take something away from the copy, and never put something into it.
        "access.changed": ({ params }: Context<{ user_id: number; revision: number }>) =>
          states.accountChanged(params.user_id, params.revision),
        "sessions.ended": ({ params }: Context<{ session_ids: string[] }>) => states.sessionsEnded(params.session_ids),
      },
      started: () => {
        const sync = async () => {
          await states.sync();
          return "done" as const;
        };
        loop = repeat("access sync", log, syncMs, sync, { maxPauseMs: syncMs });
      },
      stopped: () => loop?.stop(),
    },
  };
}

function decide(claims: AccessClaims, { account, sessionEnded }: Standing): Access {
  // First: deactivating ends the sessions as well, and this is the reason that helps.
  if (!account.is_active) return { refusal: "inactive_account" };
  if (sessionEnded || account.session_epoch > claims.epoch) return { refusal: "session_ended" };
  const { userId, sessionId } = claims;
  const principal = { userId, sessionId, role: account.role, verified: account.is_email_verified };
  return { principal, isStaff: account.is_staff };
}
