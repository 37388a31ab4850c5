import { verifyAccessToken } from "../lib/access-token.ts";
import { keyRing } from "../lib/keys.ts";
import type { Principal } from "../lib/principal.ts";
import type { AccessState } from "./accounts/sessions.repository.ts";
import type { Node } from "./node.ts";

export type AccessRefusal = "invalid_token" | "session_ended" | "inactive_account";
export type Access =
  | { readonly refusal: AccessRefusal }
  | { readonly refusal?: never; readonly principal: Principal; readonly isStaff: boolean };

export interface AccessGuard {
  /**
   * Who a token belongs to, as the account and the session stand now.
   * @throws ServiceError `unavailable` (or the broker's own errors) when that cannot be known: never "allowed"
   */
  check(token: string): Promise<Access>;
}

/** One check for both gateways: the signature here, the state of account and session from whoever owns them. */
export function createAccessGuard(
  { config, clock }: Node,
  stateOf: (userId: number, sessionId: string) => Promise<AccessState | null>,
): AccessGuard {
  const keys = keyRing(config.secrets, "access-token");
  return {
    async check(token) {
      const claims = verifyAccessToken(keys, clock, token);
      if (!claims) return { refusal: "invalid_token" };
      const state = await stateOf(claims.userId, claims.sessionId);
      if (!state) return { refusal: "invalid_token" };
      // First: deactivating ends the sessions as well, and this is the reason that helps.
      if (!state.is_active) return { refusal: "inactive_account" };
      if (state.session_ended || state.session_epoch > claims.epoch) return { refusal: "session_ended" };
      const { userId, sessionId } = claims;
      const principal = { userId, sessionId, role: state.role, verified: state.is_email_verified };
      return { principal, isStaff: state.is_staff };
    },
  };
}
