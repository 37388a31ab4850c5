import type { Clock } from "../../lib/clock.ts";
import type { Config } from "../../lib/config.ts";
import type { KeyRing } from "../../lib/keys.ts";
import type { Log } from "../../lib/log.ts";
import type { SecurityLog } from "../../lib/security-log.ts";
import type { AccountReader } from "../../mixins/account-cache/account-reader.ts";
import type { AuditBuffer } from "../../mixins/audit/audit-buffer.ts";
import type { Database } from "../../mixins/database/database.ts";
import type { Render } from "./pictures/render-queue.ts";
import type { PictureStorage } from "./pictures/storage.ts";

export interface UsersDeps {
  readonly config: Config;
  readonly clock: Clock;
  readonly db: Database;
  readonly cursorKeys: KeyRing;
  readonly securityLog: SecurityLog;
  /** What moderators look at. */
  readonly reads: Pick<AuditBuffer, "tell">;
}

/** Of those who only look: what they show is at most a second old, on every node. */
export interface ViewDeps extends Pick<UsersDeps, "config" | "clock" | "reads"> {
  readonly accounts: Pick<AccountReader, "find">;
}

/** Of the stories about pictures. */
export interface PictureDeps extends UsersDeps {
  readonly log: Log;
  readonly renderPicture: Render;
  readonly storage: PictureStorage;
}
