import type { Clock } from "../../lib/clock.ts";
import type { Config } from "../../lib/config.ts";
import { keyRing } from "../../lib/keys.ts";
import type { Log } from "../../lib/log.ts";
import { createSecurityLog } from "../../lib/security-log.ts";
import type { Database } from "../../mixins/database/database.ts";
import { AbandonedCalls } from "./abandoned-calls.ts";
import type { AuthDeps } from "./deps.ts";
import { createPasswords } from "./hashing/passwords.ts";
import type { Counters } from "./throttling/counters/counters.ts";
import { Throttle } from "./throttling/throttle.ts";

/** Everything that the stories with credentials need, for the service and for the command line. */
export function openAuth(config: Config, db: Database, counters: Counters, log: Log, clock: Clock): AuthDeps {
  const securityLog = createSecurityLog(log);
  return {
    config,
    clock,
    db,
    passwords: createPasswords(config.password, log),
    throttle: new Throttle(config.budgets, counters, securityLog),
    keys: {
      access: keyRing(config.secrets, "access-token"),
      refresh: keyRing(config.secrets, "refresh-token"),
      oneTime: keyRing(config.secrets, "one-time-token"),
      device: keyRing(config.secrets, "device-token"),
    },
    securityLog,
    abandoned: new AbandonedCalls(),
  };
}
