import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import pg from "pg";
import { silentLog } from "../../lib/log.ts";
import { openDatabase, type Database } from "../../mixins/database/database.ts";
import { migrate } from "../../mixins/database/migrate.ts";
import { createTestDatabase, type TestDatabase } from "../support/database.ts";
import { eventually } from "../support/eventually.ts";
import { password, registration } from "../support/people.ts";
import { startService, type TestService } from "../support/service.ts";

let database: TestDatabase;
let db: Database;
beforeAll(async () => {
  database = await createTestDatabase();
  db = openDatabase(database, silentLog, { name: "test", connections: 4 });
  await db.query("create table notes (id int primary key, text text)");
});
afterAll(async () => {
  await db.close();
  await database.drop();
});

describe("transaction", () => {
  test("what fails leaves nothing, and the error is the caller's own", async () => {
    const mine = new Error("mine");
    const work = db.transaction(async (tx) => {
      await tx.query("insert into notes values (1, 'x')");
      throw mine;
    });
    await expect(work).rejects.toBe(mine);
    expect(await db.query("select 1 from notes where id = 1")).toEqual([]);
  });

  test("two that wait for each other: PostgreSQL gives one up, it runs again, and both are done", async () => {
    await db.query("insert into notes values (10, ''), (11, '')");
    let meet = Promise.withResolvers<undefined>();
    let there = 0;
    const both = meet;
    const change = (first: number, second: number) =>
      db.transaction(async (tx) => {
        await tx.query("update notes set text = text || $2 where id = $1", [first, "a"]);
        if (++there === 2) meet.resolve(undefined);
        await both.promise;
        await tx.query("update notes set text = text || $2 where id = $1", [second, "b"]);
      });
    await Promise.all([change(10, 11), change(11, 10)]);
    meet = Promise.withResolvers();
    const texts = await db.query<{ text: string }>("select text from notes where id in (10, 11)");
    expect(texts.map(({ text }) => text.split("").sort().join(""))).toEqual(["ab", "ab"]);
  });

  test("its connection dies while it waits: unavailable, and nothing else happens", async () => {
    const work = db.transaction(async (tx) => {
      const [row] = await tx.query<{ pid: number }>("select pg_backend_pid() as pid");
      await db.query("select pg_terminate_backend($1)", [row?.pid]);
      await tx.query("select pg_sleep(1)");
    });
    await expect(work).rejects.toMatchObject({ type: "unavailable", code: 503 });
    expect(await db.query("select 1 as one")).toEqual([{ one: 1 }]);
  });

  test("a lock that is not given up: unavailable after two seconds", async () => {
    const other = new pg.Client({ connectionString: database.url });
    await other.connect();
    await other.query("begin");
    await other.query("lock table notes");
    const begin = Date.now();
    await expect(db.transaction((tx) => tx.query("select * from notes"))).rejects.toMatchObject({
      type: "unavailable",
    });
    expect(Date.now() - begin).toBeLessThan(3000);
    await other.end();
  });

  test("no connection is free: unavailable, with a time to come again", async () => {
    const release = Promise.withResolvers<undefined>();
    const small = openDatabase(database, silentLog, { name: "small", connections: 1 });
    const holding = small.transaction(() => release.promise);
    await expect(small.query("select 1")).rejects.toMatchObject({
      type: "unavailable",
      data: { retryAfterSeconds: 2 },
    });
    release.resolve(undefined);
    await holding;
    await small.close();
  });
});

describe("migrate", () => {
  test("an empty database by three at once: each step once, the others find nothing to do", async () => {
    const name = `empty_${Date.now()}`;
    await db.query(`create database ${name} template template0`);
    const applied = await Promise.all([1, 2, 3].map(() => migrate({ ...database, database: name })));
    expect(applied.filter((steps) => steps.length > 0)).toEqual([expect.arrayContaining(["0001-accounts.sql"])]);
    expect(await migrate({ ...database, database: name })).toEqual([]);
    await db.query(`drop database ${name} with (force)`);
  });

  test("a step that fails leaves nothing of the steps before it", async () => {
    const name = `broken_${Date.now()}`;
    await db.query(`create database ${name} template template0`);
    const client = new pg.Client({ ...database, database: name });
    await client.connect();
    await client.query("create table outbox (in_the_way int)");
    await expect(migrate({ ...database, database: name })).rejects.toThrow(/outbox/);
    const { rows } = await client.query("select tablename from pg_tables where schemaname = 'public'");
    expect(rows).toEqual([{ tablename: "outbox" }]);
    await client.end();
    await db.query(`drop database ${name} with (force)`);
  });
});

describe("the service on a database that comes and goes", () => {
  let service: TestService;
  beforeAll(async () => {
    service = await startService();
  });
  afterAll(() => service.stop());

  const waiting = () =>
    service.query<{ pid: number }>(
      "select pid from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'",
    );
  async function whileLocked<T>(id: unknown, work: (client: pg.Client) => Promise<T>): Promise<T> {
    const client = new pg.Client({ connectionString: service.database.url });
    await client.connect();
    await client.query("begin");
    await client.query("select 1 from users where id = $1 for update", [id]);
    return await work(client).finally(() => client.end());
  }

  test("a backend that is terminated under a request: 503 with Retry-After, and the next request works", async () => {
    const client = service.client();
    const { id } = (await client.post("/api/v1/users/customers/", registration())).json();
    const change = (first_name: string) =>
      client.request("PATCH", "/api/v1/users/current/", { body: { user_profile: { first_name } } });
    await whileLocked(id, async () => {
      const answer = change("Berta");
      const [waiter] = await eventually("it waits", async () => {
        const rows = await waiting();
        return rows.length > 0 ? rows : undefined;
      });
      await service.query("select pg_terminate_backend($1)", [waiter?.pid]);
      const { status, headers } = await answer;
      expect([status, headers.get("retry-after")]).toEqual([503, "2"]);
    });
    expect((await change("Clara")).status).toBe(200);
  });

  test("changes that waited for each other: none is lost, and each event tells the name as it stood then", async () => {
    const client = service.client();
    const { id } = (await client.post("/api/v1/users/customers/", registration())).json();
    const changes = [{ first_name: "Berta" }, { last_name: "Nowak" }, { first_name: "Clara" }];
    await whileLocked(id, async (lock) => {
      const answers = [];
      for (const [count, user_profile] of changes.entries()) {
        answers.push(client.request("PATCH", "/api/v1/users/current/", { body: { user_profile } }));
        await eventually("it waits", async () => ((await waiting()).length > count ? true : undefined));
      }
      await lock.query("commit");
      expect((await Promise.all(answers)).map(({ status }) => status)).toEqual([200, 200, 200]);
    });
    const names = await service.query<{ name: string }>(
      "select data ->> 'full_name' as name from outbox where user_id = $1 order by version",
      [id],
    );
    // PostgreSQL does not promise that who waited first goes first.
    const orders = ["012", "021", "102", "120", "201", "210"];
    const historyOf = (order: string) => {
      const name = { first_name: "Anna", last_name: "Kowalska" };
      const after = Array.from(order, (nth) => {
        Object.assign(name, changes[Number(nth)]);
        return `${name.first_name} ${name.last_name}`;
      });
      return ["Anna Kowalska", ...after];
    };
    expect(orders.map(historyOf)).toContainEqual(names.map(({ name }) => name));
    expect((await client.get("/api/v1/users/current/")).json()).toMatchObject({
      user_profile: { full_name: names.at(-1)?.name },
    });
  });

  test("one account that is locked holds up no moderator's change of another", async () => {
    const [one, two, moderator] = [service.client(), service.client(), service.client()];
    const locked = (await one.post("/api/v1/users/customers/", registration())).json();
    const free = (await two.post("/api/v1/users/customers/", registration())).json();
    const body = registration();
    await moderator.post("/api/v1/users/customers/", body);
    await service.query("update users set role = 'MO', is_email_verified = true where email = $1", [body.email]);
    await moderator.post("/api/v1/tokens/", { email: body.email, password });
    const moderate = (id: unknown) =>
      moderator.request("PATCH", `/api/v1/users/${String(id)}/`, { body: { is_email_verified: true } });
    await whileLocked(locked["id"], async (lock) => {
      const waits = moderate(locked["id"]);
      await eventually("it waits", async () => ((await waiting()).length > 0 ? true : undefined));
      expect((await moderate(free["id"])).status).toBe(200);
      await lock.query("commit");
      expect((await waits).status).toBe(200);
    });
  });
});
