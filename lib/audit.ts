import type { Actor } from "./principal.ts";
import { auditedEvents, type AuditedEvent, type Outcome } from "./security-log.ts";

/** What an event is about. Never a secret, and nothing that somebody typed. */
export interface About {
  /** The account that it happened to. */
  readonly subjectId?: number | undefined;
  readonly details?: Readonly<Record<string, unknown>>;
}

/** A row of the audit log, but for number and time, which are the database's. */
export interface AuditEntry {
  readonly event: AuditedEvent;
  readonly outcome: Outcome;
  /** Null for the service itself and for whoever was not signed in. */
  readonly actor_id: number | null;
  readonly subject_id: number | null;
  readonly ip: string;
  readonly user_agent: string;
  readonly request_id: string;
  readonly details: Readonly<Record<string, unknown>>;
}

/** A proxy may have written anything as the address, and a client sends whatever it likes as its name. */
export const maxIp = 64;
export const maxUserAgent = 256;
export const maxRequestId = 64;

export const auditEntry = (event: AuditedEvent, actor: Actor, { subjectId, details = {} }: About = {}): AuditEntry => ({
  event,
  outcome: auditedEvents[event],
  actor_id: actor.principal?.userId ?? null,
  subject_id: subjectId ?? null,
  ip: actor.ip.slice(0, maxIp),
  user_agent: actor.userAgent.slice(0, maxUserAgent),
  request_id: actor.requestId.slice(0, maxRequestId),
  details,
});
