import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { randomUUID } from "node:crypto";
import { silentLog } from "../../lib/log.ts";
import { onceForEvent } from "../../mixins/accounts/inbox.repository.ts";
import { openDatabase, type Database } from "../../mixins/database/database.ts";
import { sweep } from "../../services/auth/sweep.repository.ts";
import { createTestDatabase, type TestDatabase } from "../support/database.ts";

let database: TestDatabase;
let db: Database;
beforeAll(async () => {
  database = await createTestDatabase();
  db = openDatabase(database, silentLog, { name: "test", connections: 17 });
});
afterAll(async () => {
  await db.close();
  await database.drop();
});

const once = (handler: string, eventId: string) => db.transaction((tx) => onceForEvent(tx, handler, eventId));

describe("onceForEvent", () => {
  test("the first time true, then false; another handler is asked for itself", async () => {
    const id = randomUUID();
    expect([await once("a", id), await once("a", id), await once("b", id)]).toEqual([true, false, true]);
  });

  test("a transaction that fails takes it back", async () => {
    const id = randomUUID();
    const failed = db.transaction(async (tx) => {
      await onceForEvent(tx, "a", id);
      throw new Error("later");
    });
    await expect(failed).rejects.toThrow("later");
    expect(await once("a", id)).toBe(true);
  });

  test("sixteen at once: exactly one", async () => {
    const id = randomUUID();
    const answers = await Promise.all(Array.from({ length: 16 }, () => once("a", id)));
    expect(answers.filter((first) => first)).toHaveLength(1);
  });
});

describe("sweep: the inbox", () => {
  test("keeps what Kafka may bring again, and forgets what is older than 14 days", async () => {
    const [kept, over] = [randomUUID(), randomUUID()];
    for (const [id, age] of [
      [kept, "13 days 23 hours"],
      [over, "14 days 1 minute"],
    ]) {
      await db.query("insert into inbox (handler, event_id, handled_at) values ('s', $1, now() - $2::interval)", [
        id,
        age,
      ]);
    }
    await sweep(db, 400 * 86_400);
    const rows = await db.query<{ event_id: string }>("select event_id from inbox where handler = 's'");
    expect(rows).toEqual([{ event_id: kept }]);
  });

  test("thousands: in batches, and it says that there are more", async () => {
    await db.query(
      "insert into inbox (handler, event_id, handled_at) select 't', n::text, now() - interval '15 days' from generate_series(1, 1500) n",
    );
    expect([await sweep(db, 400 * 86_400), await sweep(db, 400 * 86_400)]).toEqual(["more", "done"]);
    expect(await db.query("select from inbox where handler = 't'")).toEqual([]);
  });
});
