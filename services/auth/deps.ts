import type { Clock } from "../../lib/clock.ts";
import type { Config } from "../../lib/config.ts";
import type { KeyRing } from "../../lib/keys.ts";
import type { SecurityLog } from "../../lib/security-log.ts";
import type { AuditBuffer } from "../../mixins/audit/audit-buffer.ts";
import type { Database } from "../../mixins/database/database.ts";
import type { AbandonedCalls } from "./abandoned-calls.ts";
import type { Passwords } from "./hashing/passwords.ts";
import type { Throttle } from "./throttling/throttle.ts";

/** What the stories with credentials stand on. */
export interface AuthDeps {
  readonly config: Config;
  readonly clock: Clock;
  readonly db: Database;
  readonly passwords: Passwords;
  readonly throttle: Throttle;
  readonly keys: Readonly<Record<"access" | "refresh" | "oneTime" | "device", KeyRing>>;
  readonly securityLog: SecurityLog;
  /** For what is told outside of a transaction. */
  readonly refusals: AuditBuffer;
  readonly abandoned: AbandonedCalls;
}
