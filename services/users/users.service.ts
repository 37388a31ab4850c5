import { join } from "node:path";
import type { ServiceSchema } from "moleculer";
import { implement } from "../../lib/actions.ts";
import { keyRing } from "../../lib/keys.ts";
import { repeat, type Loop } from "../../lib/repeat.ts";
import { createSecurityLog } from "../../lib/security-log.ts";
import { createAccountReader } from "../../mixins/account-cache/create-account-reader.ts";
import { AuditBuffer, flushMs } from "../../mixins/audit/audit-buffer.ts";
import { appendAuditEntries } from "../../mixins/accounts/audit.repository.ts";
import { openServiceDatabase, type Node } from "../../mixins/node.ts";
import { changePicture } from "./change-picture.ts";
import type { PictureDeps, ViewDeps } from "./deps.ts";
import { listAudit } from "./list-audit.ts";
import { listUsers } from "./list-users.ts";
import { moderateUser } from "./moderate-user.ts";
import { createRenderQueue } from "./pictures/render-queue.ts";
import { createRenderer } from "./pictures/renderer.ts";
import { localFolder } from "./pictures/storage.ts";
import { sweepPictures } from "./pictures/sweep.ts";
import { usersContract } from "./users.contract.ts";
import { currentUser, viewUser } from "./view-user.ts";

/** The stories without credentials: who the accounts are. Never sees a password or a hash. */
export default function usersService(node: Node): ServiceSchema {
  const { config, clock, log } = node;
  const renderer = createRenderer();
  const db = openServiceDatabase(node, "users", 5);
  const { accounts, mixin } = createAccountReader(node, db);
  const securityLog = createSecurityLog(log);
  const reads = new AuditBuffer(securityLog, (entries) => appendAuditEntries(db, entries));
  let writing: Loop | undefined;
  const deps: PictureDeps & ViewDeps = {
    config,
    clock,
    db,
    accounts,
    cursorKeys: keyRing(config.secrets, "cursor"),
    log,
    securityLog,
    reads,
    renderPicture: createRenderQueue((file) => renderer.render(file)),
    storage: localFolder(join(config.dataDir, "media", "avatars")),
  };
  return {
    name: "users",
    mixins: [mixin],
    actions: implement(usersContract, {
      current: (_, actor) => currentUser(deps, actor),
      view: ({ id }, actor) => viewUser(deps, id, actor),
      list: (query, actor) => listUsers(deps, query, actor),
      replace: (changes, actor) => moderateUser(deps, changes, actor),
      update: (changes, actor) => moderateUser(deps, changes, actor),
      changeOwnPicture: (_, actor, upload) => changePicture(deps, { id: actor.principal?.userId ?? 0, upload }, actor),
      changePicture: ({ id }, actor, upload) => changePicture(deps, { id, upload }, actor),
      listAudit: (query, actor) => listAudit(deps, query, actor),
      appendRefusals: async ({ entries }) => {
        await appendAuditEntries(db, entries);
        return {};
      },
      health: () => accounts.health(),
      picture: async ({ name }) => (await deps.storage.read(name))?.toString("base64") ?? null,
    }),
    started: () => {
      sweep(deps);
      writing = repeat("the audit log", log, flushMs, () => reads.flush());
    },
    stopped: async () => {
      await writing?.stop();
      // What cannot be written any more stands in the log.
      await reads.close().catch(() => undefined);
      renderer.close();
      await deps.db.close();
    },
  };
}

/** In the background: nobody waits for it, and what it does not finish is there at the next start. */
function sweep({ db, storage, clock, log }: PictureDeps): void {
  sweepPictures(db, storage, clock.now()).then(
    (removed) => log.debug({ removed }, "pictures that nobody names were removed"),
    (error: unknown) => log.warn({ reason: String(error) }, "pictures that nobody names could not be looked for"),
  );
}
