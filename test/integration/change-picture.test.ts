import { afterAll, beforeAll, beforeEach, describe, expect, test } from "@jest/globals";
import { mkdtemp, readdir, utimes } from "node:fs/promises";
import { join } from "node:path";
import { systemClock } from "../../lib/clock.ts";
import { ServiceError } from "../../lib/errors.ts";
import { keyRing } from "../../lib/keys.ts";
import { silentLog } from "../../lib/log.ts";
import { openDatabase, type Database } from "../../mixins/database/database.ts";
import { changePicture } from "../../services/users/change-picture.ts";
import type { PictureDeps } from "../../services/users/deps.ts";
import { pictureName } from "../../services/users/pictures/picture-name.ts";
import { localFolder } from "../../services/users/pictures/storage.ts";
import { sweepPictures } from "../../services/users/pictures/sweep.ts";
import { signUp } from "../contract/accounts.ts";
import { startService, type TestService } from "../support/service.ts";
import { actor, memoryLog, principal, rejection } from "../unit/helpers.ts";

let service: TestService;
let db: Database;
beforeAll(async () => {
  service = await startService({ SERVICES: "auth,api-gateway" });
  db = openDatabase(service.config.database!, silentLog, { name: "test", connections: 3 });
});
afterAll(async () => {
  await db.close();
  await service.stop();
});

let folder: string;
let id: number;
let sessionId: string;
let pictures: number;
beforeEach(async () => {
  folder = await mkdtemp(join(process.env["TEST_FOLDER"] ?? "", "pictures-"));
  ({ id } = await signUp(service));
  const [session] = await service.query<{ id: string }>("select id from sessions where user_id = $1", [id]);
  sessionId = session?.id ?? "";
  pictures = 0;
});

const log = memoryLog();
const depsWith = (changes: Partial<PictureDeps> = {}): PictureDeps => ({
  config: service.config,
  clock: systemClock,
  db,
  cursorKeys: keyRing(service.config.secrets, "cursor"),
  log,
  securityLog: () => undefined,
  reads: { tell: () => undefined },
  // Another one each time.
  renderPicture: () => Promise.resolve(Buffer.from(`picture ${++pictures}`)),
  storage: localFolder(folder),
  ...changes,
});
const change = (deps: PictureDeps, by = id) =>
  changePicture(deps, { id, upload: undefined }, actor({ principal: principal({ userId: by, sessionId }) }));
const named = async () =>
  (
    await service.query<{ image_path: string | null }>("select image_path from user_profiles where user_id = $1", [id])
  )[0]?.image_path;
const files = async () => (await readdir(folder)).map((name) => `avatars/${name}`);

describe("changing a picture", () => {
  test("nothing goes wrong: the profile names the one file", async () => {
    await change(depsWith());
    await change(depsWith());
    expect(await files()).toEqual([await named()]);
  });

  test("the transaction fails: the new file is removed, the old one stays", async () => {
    await change(depsWith());
    const before = await named();
    const failing: Database = {
      ...db,
      transaction: (work) =>
        db.transaction(async (tx) => {
          const query: typeof tx.query = (text, values) =>
            text.startsWith("insert into outbox") ? Promise.reject(new Error("no")) : tx.query(text, values);
          return await work({ ...tx, query });
        }),
    };
    expect(await rejection(change(depsWith({ db: failing })))).toBeInstanceOf(Error);
    expect([await files(), await named()]).toEqual([[before], before]);
  });

  test("nobody knows whether it was committed, and it was: what the profile names is there", async () => {
    const unsure: Database = {
      ...db,
      transaction: async (work) => {
        await db.transaction(work);
        throw new ServiceError("unavailable");
      },
    };
    expect(await rejection(change(depsWith({ db: unsure })))).toMatchObject({ type: "unavailable" });
    expect(await files()).toEqual([await named()]);
  });

  test("the old file cannot be removed: the change is done all the same, and the log tells", async () => {
    await change(depsWith());
    const storage = { ...localFolder(folder), remove: () => Promise.reject(new Error("read-only")) };
    const view = await change(depsWith({ storage }));
    expect(view.user_profile.image_url).toContain(await named());
    expect(await files()).toHaveLength(2);
    expect(log.text()).toContain("could not be removed");
  });

  test.each([
    ["deactivated", "update users set is_active = false where id = $1"],
    ["signed out on this device", "update sessions set ended_at = now() where user_id = $1"],
    ["signed out everywhere", "update users set session_epoch = session_epoch + 1 where id = $1"],
  ])("%s while the picture was rendered: refused, and no file is left", async (_, statement) => {
    const renderPicture = async () => {
      await service.query(statement, [id]);
      return Buffer.from("a picture");
    };
    expect(await rejection(change(depsWith({ renderPicture })))).toMatchObject({ type: "session_ended" });
    expect([await files(), await named()]).toEqual([[], null]);
    // A moderator may do it: he is not the one whose session has ended.
    await change(depsWith({ renderPicture }), id + 1_000_000);
    expect(await files()).toEqual([await named()]);
  });

  test("the account is gone before, or meanwhile: not found, and no file is left", async () => {
    const moderator = id + 1_000_000;
    const renderPicture = async () => {
      await service.query("delete from users where id = $1", [id]);
      return Buffer.from("a picture");
    };
    expect(await rejection(change(depsWith({ renderPicture }), moderator))).toMatchObject({ type: "not_found" });
    expect(await rejection(change(depsWith(), moderator))).toMatchObject({ type: "not_found" });
    expect(await rejection(change(depsWith()))).toMatchObject({ type: "not_authenticated" });
    expect(await files()).toEqual([]);
  });
});

describe("sweeping", () => {
  test("more than a batch: all that nobody names go, and those that are named stay", async () => {
    await change(depsWith());
    const storage = localFolder(folder);
    const orphans = Array.from({ length: 510 }, (_, n) => pictureName((n % 7) + id, Buffer.from(String(n))));
    for (const name of orphans) await storage.write(name, Buffer.from("x"));
    for (const name of await readdir(folder)) await utimes(join(folder, name), 1000, 1000);
    const young = pictureName(id, Buffer.from("young"));
    await storage.write(young, Buffer.from("x"));
    expect(await sweepPictures(db, storage, Date.now())).toBe(510);
    expect((await files()).toSorted()).toEqual([await named(), `avatars/${young}`].toSorted());
  });
});
