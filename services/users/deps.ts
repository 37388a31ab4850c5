import type { Clock } from "../../lib/clock.ts";
import type { Config } from "../../lib/config.ts";
import type { KeyRing } from "../../lib/keys.ts";
import type { SecurityLog } from "../../lib/security-log.ts";
import type { Database } from "../../mixins/database/database.ts";

export interface UsersDeps {
  readonly config: Config;
  readonly clock: Clock;
  readonly db: Database;
  readonly cursorKeys: KeyRing;
  readonly securityLog: SecurityLog;
}
