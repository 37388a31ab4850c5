import type { Log } from "./log.ts";
import type { Actor } from "./principal.ts";

/** What became of it: `failure` was tried and was wrong, `refused` was not let through. */
export const outcomes = ["success", "failure", "refused"] as const;
export type Outcome = (typeof outcomes)[number];

/** Names from the OWASP Logging Vocabulary that stand in the audit log, each with what has become of it. */
export const auditedEvents = {
  authn_login_success: "success",
  authn_login_fail: "failure",
  authn_login_lock: "refused",
  authn_password_change: "success",
  authn_token_created: "success",
  authn_token_reuse: "refused",
  authz_change: "success",
  authz_fail: "refused",
  excess_rate_limit_exceeded: "refused",
  malicious_csrf: "refused",
  // Of ours: an operator keeps a change from Kafka.
  outbox_change_skipped: "success",
  sensitive_read: "success",
  session_logout: "success",
  session_use_after_expire: "refused",
  user_created: "success",
  user_updated: "success",
} as const satisfies Readonly<Record<string, Outcome>>;
export type AuditedEvent = keyof typeof auditedEvents;
export const auditedEventNames = Object.keys(auditedEvents) as readonly AuditedEvent[];

/** Exchanging a refresh token is routine: of that the log alone tells. */
export type SecurityEvent = AuditedEvent | "session_renewed";

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
