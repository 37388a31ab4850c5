import { afterAll, beforeAll, beforeEach, describe, expect, test } from "@jest/globals";
import pg from "pg";
import { auditEntry } from "../../lib/audit.ts";
import { silentLog } from "../../lib/log.ts";
import { system } from "../../lib/principal.ts";
import { appendAuditEntries } from "../../mixins/accounts/audit.repository.ts";
import { openDatabase, type Database } from "../../mixins/database/database.ts";
import { migrate } from "../../mixins/database/migrate.ts";
import { sweep } from "../../services/auth/sweep.repository.ts";
import { createTestDatabase, type TestDatabase } from "../support/database.ts";

const day = 24 * 60 * 60;
let database: TestDatabase;
/** The owner of the tables, who is a superuser here, and the role that the service signs in with. */
let owner: Database;
let service: Database;
beforeAll(async () => {
  database = await createTestDatabase();
  owner = openDatabase(database, silentLog, { name: "test", connections: 2 });
  service = openDatabase({ ...database, ...database.service }, silentLog, { name: "test", connections: 16 });
});
afterAll(async () => {
  await Promise.all([owner.close(), service.close()]);
  await database.drop();
});
beforeEach(async () => {
  await owner.transaction(async (tx) => {
    await tx.query("alter table audit_log disable trigger user");
    await tx.query("truncate audit_log");
    await tx.query("alter table audit_log enable always trigger audit_log_rows");
    await tx.query("alter table audit_log enable always trigger audit_log_whole");
  });
});

const append = () => appendAuditEntries(service, [auditEntry("user_created", system, { subjectId: 1 })]);
/** Rows of that age. */
const appendOld = (days: number, count = 1) =>
  owner.query(
    `insert into audit_log (occurred_at, event, ip, user_agent, request_id)
     select now() - make_interval(days => $1), 'user_created', '', '', '' from generate_series(1, $2)`,
    [days, count],
  );
const rows = () => service.query("select * from audit_log order by id");
const ageInDays = async () =>
  (
    await service.query<{ days: number }>(
      "select extract(day from now() - occurred_at)::int as days from audit_log order by 1",
    )
  ).map(({ days }) => days);

describe("the service's role", () => {
  test("adds and reads", async () => {
    await append();
    expect(await rows()).toEqual([
      expect.objectContaining({ event: "user_created", outcome: "success", subject_id: 1, actor_id: null }),
    ]);
  });

  test.each([
    ["change a row", "update audit_log set event = 'x'"],
    ["change one column of it", "update audit_log set outcome = 'success'"],
    ["delete a row", "delete from audit_log"],
    ["delete an old row", "delete from audit_log where occurred_at < now() - interval '1000 days'"],
    ["truncate", "truncate audit_log"],
    [
      "choose the time of a row",
      "insert into audit_log (occurred_at, event, ip, user_agent, request_id) values ('2001-01-01', 'x', '', '', '')",
    ],
    [
      "choose the number of a row",
      "insert into audit_log (id, event, ip, user_agent, request_id) overriding system value values (1, 'x', '', '', '')",
    ],
    [
      "overwrite by upsert",
      "insert into audit_log (event, ip, user_agent, request_id) values ('x', '', '', '') on conflict (id) do update set event = 'y'",
    ],
    ["merge", "merge into audit_log using (values (1)) v (n) on true when matched then delete"],
    ["lock a row away", "select 1 from audit_log for update"],
    ["lock the table away", "select 1; lock audit_log in access exclusive mode"],
    ["turn the numbers back", "select setval('audit_log_id_seq', 1)"],
    ["drop a trigger", "drop trigger audit_log_rows on audit_log"],
    ["switch triggers off", "alter table audit_log disable trigger all"],
    ["switch triggers off for itself", "set session_replication_role = replica"],
    [
      "add a trigger",
      "create trigger t before insert on audit_log for each row execute function refuse_audit_change()",
    ],
    ["add a rule", "create rule r as on insert to audit_log do instead nothing"],
    [
      "replace the trigger's function",
      "create or replace function refuse_audit_change() returns trigger language plpgsql as 'begin return old; end'",
    ],
    [
      "replace the function that purges",
      "create or replace function purge_audit_log(retention_seconds integer, at_most integer) returns integer language sql as 'select 1'",
    ],
    ["drop the table", "drop table audit_log"],
    ["rename it", "alter table audit_log rename to x"],
    ["drop a column", "alter table audit_log drop column ip"],
    ["give itself the right", "grant all on audit_log to identity; delete from audit_log"],
    ["become the owner", "set role postgres"],
    ["make a table", "create table x (n int)"],
    ["drop another table", "drop table users"],
    ["change the list of migrations", "delete from migrations"],
  ])("may not %s", async (_, statement) => {
    await append();
    await appendOld(1001);
    const before = await rows();
    await expect(service.query(statement)).rejects.toMatchObject({ code: expect.stringMatching(/^(?:42501|0A000)$/) });
    expect(await rows()).toEqual(before);
  });

  test("everything else that it did before: each table and sequence of the others", async () => {
    const others = await owner.query<{ name: string }>(
      `select quote_ident(relname) as name from pg_class
       where relnamespace = 'public'::regnamespace and relkind = 'r' and relname not in ('audit_log', 'migrations')`,
    );
    expect(others.length).toBeGreaterThan(8);
    for (const { name } of others) {
      for (const right of ["select", "insert", "update", "delete"]) {
        const [may] = await service.query("select has_table_privilege($1, $2) as may", [name, right]);
        expect([name, right, may]).toEqual([name, right, { may: true }]);
      }
    }
    await service.query("select setval('users_id_seq', nextval('users_id_seq'))");
  });
});

describe("where the service owns the tables", () => {
  test.each([
    ["update", "update audit_log set event = 'x'"],
    ["delete", "delete from audit_log"],
    ["truncate", "truncate audit_log"],
    ["replicate", "set session_replication_role = replica; delete from audit_log"],
  ])("%s: refused all the same, by trigger", async (_, statement) => {
    await append();
    const before = await rows();
    const client = new pg.Client(database);
    await client.connect();
    await expect(client.query(statement).finally(() => client.end())).rejects.toMatchObject({ code: "42501" });
    expect(await rows()).toEqual(before);
  });
});

describe("retention", () => {
  test("what is older goes, the rest stays, and the newest 30 days always do", async () => {
    for (const age of [0, 29, 31, 399, 401, 3000]) await appendOld(age);
    expect(await sweep(service, 400 * day)).toBe("done");
    expect(await ageInDays()).toEqual([0, 29, 31, 399]);
    expect(await sweep(service, 30 * day)).toBe("done");
    expect(await ageInDays()).toEqual([0, 29]);
  });

  test.each([30 * day - 1, 0, -1])("%i seconds: refused", async (seconds) => {
    await appendOld(29);
    await expect(service.query("select purge_audit_log($1, 10)", [seconds])).rejects.toMatchObject({ code: "42501" });
    expect(await rows()).toHaveLength(1);
  });

  test("a thousand at a time, and it says when there is more", async () => {
    await appendOld(500, 2500);
    const left: number[] = [];
    for (const outcome of ["more", "more", "done"]) {
      expect(await sweep(service, 400 * day)).toBe(outcome);
      left.push((await rows()).length);
    }
    expect(left).toEqual([1500, 500, 0]);
  });

  test("sixteen nodes at once: each row once, and nobody fails", async () => {
    await appendOld(500, 5000);
    const purge = () => service.query<{ purged: number }>("select purge_audit_log($1, 1000) as purged", [400 * day]);
    const purged = (await Promise.all(Array.from({ length: 16 }, purge))).map(([row]) => row?.purged ?? 0);
    const left = (await rows()).length;
    expect(purged.reduce((sum, each) => sum + each, left)).toBe(5000);
    while ((await purge())[0]?.purged !== 0);
    expect(await rows()).toEqual([]);
  });

  test("a table of the caller's own with that name is not what it purges, nor whose triggers it runs", async () => {
    await appendOld(500);
    const client = new pg.Client({ ...database, ...database.service });
    await client.connect();
    await client.query("create temp table audit_log (id int, occurred_at timestamptz)");
    await client.query("insert into audit_log values (1, '2001-01-01')");
    await client.query("select purge_audit_log($1, 10)", [400 * day]);
    expect((await client.query("select 1 from pg_temp.audit_log")).rowCount).toBe(1);
    await client.end();
    expect(await rows()).toEqual([]);
  });
});

describe("migrating as the owner", () => {
  test("again, and for another role: it gets the same rights and no more", async () => {
    const role = `other_${database.database}`;
    await owner.query(`create role ${role} login password 'x'`);
    const { user, password, ...at } = database;
    const login = { ...at, user: role, password: "x" };
    expect(await migrate({ ...login, owner: { user, password } })).toEqual([]);
    const other = openDatabase(login, silentLog, { name: "test", connections: 1 });
    await appendAuditEntries(other, [auditEntry("user_created", system)]);
    await expect(other.query("delete from audit_log")).rejects.toMatchObject({ code: "42501" });
    await expect(migrate(login)).rejects.toThrow("permission denied");
    await other.close();
    await owner.query(`drop owned by ${role}`);
    await owner.query(`drop role ${role}`);
  });

  test("without another role: the one owner does it all, as before", async () => {
    const { host, port, user, password } = database;
    expect(await migrate({ host, port, user, password, database: database.database })).toEqual([]);
  });
});
