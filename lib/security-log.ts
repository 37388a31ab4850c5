import type { Log } from "./log.ts";
import type { Actor } from "./principal.ts";

/** Names from the OWASP Logging Vocabulary. */
export type SecurityEvent =
  | "authn_login_success"
  | "authn_login_fail"
  | "authn_login_lock"
  | "authn_password_change"
  | "authn_token_created"
  | "authn_token_reuse"
  | "authz_fail"
  | "authz_change"
  | "excess_rate_limit_exceeded"
  | "malicious_csrf"
  | "session_created"
  | "session_renewed"
  | "session_use_after_expire"
  | "session_logout"
  | "user_created"
  | "user_updated";

/** One line per security event: who, from where, in which request. Fields never hold a secret or what somebody typed. */
export type SecurityLog = (event: SecurityEvent, actor: Actor, fields?: Readonly<Record<string, unknown>>) => void;

export function createSecurityLog(log: Log): SecurityLog {
  return (event, actor, fields = {}) =>
    log.info(
      {
        event,
        user_id: actor.principal?.userId,
        ...fields,
        ip: actor.ip,
        user_agent: actor.userAgent,
        request_id: actor.requestId,
      },
      event,
    );
}
