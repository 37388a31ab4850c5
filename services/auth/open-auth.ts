import type { Clock } from "../../lib/clock.ts";
import type { Config } from "../../lib/config.ts";
import { keyRing } from "../../lib/keys.ts";
import type { Log } from "../../lib/log.ts";
import { createSecurityLog } from "../../lib/security-log.ts";
import { appendAuditEntries } from "../../mixins/accounts/audit.repository.ts";
import { AuditBuffer } from "../../mixins/audit/audit-buffer.ts";
import type { Database, Sql } from "../../mixins/database/database.ts";
import { AbandonedCalls } from "./abandoned-calls.ts";
import type { AuthDeps } from "./deps.ts";
import { createPasswords } from "./hashing/passwords.ts";
import type { Counters } from "./throttling/counters/counters.ts";
import { Throttle } from "./throttling/throttle.ts";

/**
 * Everything that the stories with credentials need, for the service and for the command line.
 * @param chores where what no request waits for is written
 */
export function openAuth(
  config: Config,
  db: Database,
  counters: Counters,
  log: Log,
  clock: Clock,
  chores: Sql = db,
): AuthDeps {
  const securityLog = createSecurityLog(log);
  const abandoned = new AbandonedCalls();
  const refusals = new AuditBuffer(securityLog, (entries) => appendAuditEntries(chores, entries));
  return {
    config,
    clock,
    db,
    passwords: createPasswords(config.password, log, abandoned),
    throttle: new Throttle(config.budgets, counters, refusals),
    keys: {
      access: keyRing(config.secrets, "access-token"),
      refresh: keyRing(config.secrets, "refresh-token"),
      oneTime: keyRing(config.secrets, "one-time-token"),
      device: keyRing(config.secrets, "device-token"),
    },
    securityLog,
    refusals,
    abandoned,
  };
}
