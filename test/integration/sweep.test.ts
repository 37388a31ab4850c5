import { afterAll, beforeAll, beforeEach, describe, expect, test } from "@jest/globals";
import { randomUUID } from "node:crypto";
import { silentLog } from "../../lib/log.ts";
import { openDatabase, type Database } from "../../mixins/database/database.ts";
import { sweep } from "../../services/auth/sweep.repository.ts";
import { createTestDatabase, type TestDatabase } from "../support/database.ts";

const retention = 400 * 24 * 60 * 60;
let database: TestDatabase;
/** As the owner, for what tests prepare; and as the service. */
let owner: Database;
let db: Database;
beforeAll(async () => {
  database = await createTestDatabase();
  owner = openDatabase(database, silentLog, { name: "test", connections: 1 });
  db = openDatabase({ ...database, ...database.service }, silentLog, { name: "test", connections: 4 });
});
afterAll(async () => {
  await Promise.all([db.close(), owner.close()]);
  await database.drop();
});
beforeEach(async () => {
  await owner.query("truncate users cascade");
  await db.query(
    `insert into users (id, email, email_canonical, password_hash, role, roles_held)
     values (1, 'a@example.com', 'a@example.com', '', 'CU', '{CU}')`,
  );
});

/** Rows that are alike but for their id. @param times column -> how it stands to now, e.g. `- interval '31 days'` */
const add = {
  sessions: (times: Readonly<Record<string, string>>, count = 1) => {
    const { idle_expires_at = "+ interval '1 day'", expires_at = "+ interval '1 day'", ended_at } = times;
    return db.query(
      `insert into sessions (id, user_id, refresh_hash, browser_session, ip, user_agent, idle_expires_at, expires_at, ended_at)
       select gen_random_uuid(), 1, '', false, '', '', now() ${idle_expires_at}, now() ${expires_at},
         ${ended_at === undefined ? "null" : `now() ${ended_at}`} from generate_series(1, ${count})`,
    );
  },
  one_time_tokens: ({ expires_at = "" }: Readonly<Record<string, string>>) =>
    db.query(
      `insert into one_time_tokens (id, user_id, purpose, address, expires_at)
       values ($1, 1, 'verify-email', 'a@example.com', now() ${expires_at})`,
      [randomUUID()],
    ),
  idempotency_keys: ({ created_at = "" }: Readonly<Record<string, string>>) =>
    db.query(
      "insert into idempotency_keys (key_hash, request_hash, user_id, created_at) " +
        `values (sha256($1::bytea), '', 1, now() ${created_at})`,
      [randomUUID()],
    ),
};
const count = async (table: keyof typeof add) =>
  (await db.query<{ count: number }>(`select count(*) as count from ${table}`))[0]?.count;

const days = (n: number, more = "") => `- interval '${n} days ${more}'`;

describe("sweep", () => {
  test.each([
    ["sessions", "whose idle time ended 30 days ago", { idle_expires_at: days(30, "1 minute") }],
    ["sessions", "that expired 30 days ago", { expires_at: days(30, "1 minute") }],
    ["sessions", "that ended 30 days ago", { ended_at: days(30, "1 minute") }],
    ["one_time_tokens", "that expired 30 days ago", { expires_at: days(30, "1 minute") }],
    ["idempotency_keys", "of the day before", { created_at: days(1, "1 minute") }],
  ] as const)("%s %s: deleted", async (table, _, times) => {
    await add[table](times);
    expect(await count(table)).toBe(1);
    expect([await sweep(db, retention), await count(table)]).toEqual(["done", 0]);
  });

  test.each([
    ["sessions", "that live", {}],
    ["sessions", "that expired yesterday", { idle_expires_at: days(1), expires_at: days(1) }],
    ["sessions", "that ended 29 days ago", { ended_at: days(29) }],
    ["one_time_tokens", "that can be used", { expires_at: "+ interval '1 hour'" }],
    ["one_time_tokens", "that expired 29 days ago", { expires_at: days(29) }],
    ["idempotency_keys", "of the last 24 hours", { created_at: "- interval '23 hours 59 minutes'" }],
  ] as const)("%s %s: kept", async (table, _, times) => {
    await add[table](times);
    expect([await sweep(db, retention), await count(table)]).toEqual(["done", 1]);
  });

  test("2,500 of a kind: a thousand at a time, and it says when there is more", async () => {
    await add.sessions({ expires_at: days(31) }, 2500);
    await add.sessions({});
    const left: unknown[] = [];
    for (const outcome of ["more", "more", "done"]) {
      expect(await sweep(db, retention)).toBe(outcome);
      left.push(await count("sessions"));
    }
    expect(left).toEqual([1501, 501, 1]);
  });

  test("two nodes at once: each row once, and neither waits for the other", async () => {
    await add.sessions({ expires_at: days(31) }, 1500);
    const blocked = db.transaction(async (tx) => {
      await tx.query("select 1 from sessions where expires_at < now() limit 100 for update");
      expect(await sweep(db, retention)).toBe("more");
      expect(await sweep(db, retention)).toBe("done");
      return await count("sessions");
    });
    expect(await blocked).toBe(100);
    expect([await sweep(db, retention), await count("sessions")]).toEqual(["done", 0]);
  });

  test("the account is left alone", async () => {
    await sweep(db, retention);
    expect(await db.query("select 1 from users")).toHaveLength(1);
  });
});
