import { afterEach, describe, expect, test } from "@jest/globals";
import { spawn } from "node:child_process";
import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import bcrypt from "bcrypt";
import pg from "pg";
import { silentLog } from "../../lib/log.ts";
import { openDatabase, type Database } from "../../mixins/database/database.ts";
import { openSnapshot, type Snapshot } from "../../mixins/database/snapshot.ts";
import type { Findings, Kind } from "../../scripts/cli/import-django/findings.ts";
import { importUsers } from "../../scripts/cli/import-django/import-users.ts";
import { verifyDjangoHashSync } from "../../services/auth/django-hashes.ts";
import { createTestDatabase } from "../support/database.ts";
import { djangoHashes } from "../support/django-hashes.ts";
import { createDjangoSource, type DjangoSource } from "../support/django-source.ts";
import { eventually } from "../support/eventually.ts";
import { freePort } from "../support/ports.ts";

const [{ stored: hash }, { stored: otherHash }] = djangoHashes;

let undo: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const step of undo) await step();
  undo = [];
});

interface Stand {
  readonly source: DjangoSource;
  readonly db: Database;
  readonly target: Awaited<ReturnType<typeof createTestDatabase>>;
  /** One import. */
  readonly run: () => Promise<Findings>;
}

async function createStand(): Promise<Stand> {
  const [source, target] = await Promise.all([createDjangoSource(), createTestDatabase()]);
  const db = openDatabase({ ...target, ...target.service }, silentLog, { name: "test", connections: 2 });
  undo.push(async () => {
    await db.close();
    await Promise.all([source.drop(), target.drop()]);
  });
  return { source, db, target, run: () => importFrom(source, db) };
}

async function importFrom(source: DjangoSource, db: Database, seen = (snapshot: Snapshot) => snapshot) {
  const snapshot = await openSnapshot(source.url);
  try {
    return await importUsers(seen(snapshot), db, { now: Date.now() });
  } finally {
    await snapshot.close();
  }
}

/** Findings as `kind: lines of the report`, without the kinds that have no lines. */
function told(findings: Findings): Record<string, string[]> {
  const [, ...lines] = [...findings.csv()].map((line) => line.trimEnd());
  return Object.fromEntries(
    Object.entries(Object.groupBy(lines, (line) => line.split(",")[0] ?? "")).map(([kind, of = []]) => [
      kind,
      of.map((line) => line.slice(kind.length + 1).replace(/,$/, "")),
    ]),
  );
}
const counts = (findings: Findings, ...kinds: Kind[]) => kinds.map((kind) => findings.count(kind));

const account = async (db: Database, id: number) =>
  (
    await db.query<Record<string, unknown>>(
      `select u.*, created_at::text, last_login::text, p.* from users u join user_profiles p on p.user_id = u.id
       where u.id = $1`,
      [id],
    )
  )[0];
const ids = async (db: Database) =>
  (await db.query<{ id: number }>("select id from users order by id")).map(({ id }) => id);

/** An account that registered here, as the stories would have made it. */
async function registerHere(db: Database, email: string): Promise<number> {
  const [user] = await db.query<{ id: number }>(
    `insert into users (email, email_canonical, password_hash, role, roles_held, version)
     values ($1, lower($1), 'v1:none:x', 'CU', array['CU'], 1) returning id`,
    [email],
  );
  await db.query("insert into user_profiles values ($1, 'A', 'B', '+48512345678', '1990-01-01')", [user?.id]);
  return user?.id ?? 0;
}

describe("an account that is new", () => {
  test("keeps its id, password and everything else, and nobody is told", async () => {
    const { source, db, run } = await createStand();
    await source.query("set timezone = 'Europe/Warsaw'");
    const id = await source.add({
      ...{ id: 4711, email: "Anna.K@example.com", password: hash, role: "RM", is_active: false, is_staff: true },
      ...{ is_email_verified: false, last_login: "2025-01-02T03:04:05.678901Z" },
      profile: { first_name: "Łucja", last_name: "O'Neil", phone: "+375291234567", birth_date: "1988-02-29" },
    });
    const findings = await run();
    expect(await account(db, id)).toMatchObject({
      ...{ id: 4711, email: "Anna.K@example.com", email_canonical: "anna.k@example.com", pending_email: null },
      ...{ password_hash: hash, role: "RM", roles_held: ["RM"], is_active: false, is_email_verified: false },
      ...{ is_staff: true, session_epoch: 0, version: 0 },
      ...{ first_name: "Łucja", last_name: "O'Neil", phone: "+375291234567", birth_date: "1988-02-29" },
      image_path: null,
      created_at: expect.stringMatching(/:00\.123456/),
      last_login: expect.stringMatching(/:05\.678901/),
    });
    expect(counts(findings, "imported", "staff")).toEqual([1, 1]);
    for (const table of ["outbox", "mails", "audit_log"]) expect(await db.query(`select 1 from ${table}`)).toEqual([]);
  });

  test("can be searched for, unless it is a moderator", async () => {
    const { source, db, run } = await createStand();
    const customer = await source.add({ email: "anna@example.com" });
    await source.add({ email: "mo@example.com", role: "MO" });
    await run();
    const terms = await db.query<{ user_id: number; term: string }>("select user_id, term from search_terms");
    expect(terms.map(({ term }) => term).sort()).toEqual([
      ...["+48512345678", "anna kowalska", "anna@example.com", "kowalska"],
    ]);
    expect(new Set(terms.map(({ user_id }) => user_id))).toEqual(new Set([customer]));
  });

  test("has the hash of whatever hasher, and the old password matches it", async () => {
    const { source, db, run } = await createStand();
    for (const [n, { stored }] of djangoHashes.entries())
      await source.add({ email: `p${n}@example.com`, password: stored });
    await run();
    const rows = await db.query<{ password_hash: string }>("select password_hash from users order by id");
    const matches = rows.map(({ password_hash }, n) =>
      verifyDjangoHashSync(password_hash, djangoHashes[n]?.password ?? "", (typed, of) =>
        bcrypt.compareSync(typed, of),
      ),
    );
    expect(matches).toEqual(djangoHashes.map(() => true));
  });

  test("who registers here gets a higher id than the source ever gave, also to accounts that are gone", async () => {
    const { source, db, run } = await createStand();
    await source.add({ email: "a@example.com" });
    await source.query("select setval('users_user_id_seq', 900)");
    await run();
    expect(await registerHere(db, "new@example.com")).toBe(901);
    await source.add({ id: 500, email: "b@example.com" });
    await run();
    expect(await registerHere(db, "newer@example.com")).toBe(902);
  });

  test("a source whose sequence must not be read: past the largest id", async () => {
    const { source, db, target } = await createStand();
    await source.add({ id: 77, email: "a@example.com" });
    const reader = `reader_${target.database}`;
    await source.query(`create role ${reader} login password 'reader'`);
    await source.query(`grant select on users_user, users_userprofile to ${reader}`);
    const url = new URL(source.url);
    [url.username, url.password] = [reader, "reader"];
    await importFrom({ ...source, url: url.href }, db);
    expect(await registerHere(db, "new@example.com")).toBe(78);
    await source.query(`drop owned by ${reader}`);
    await source.query(`drop role ${reader}`);
  });
});

describe("what is skipped, and why", () => {
  test.each([
    ["no profile", { profile: null, role: "" }, "no-profile"],
    ["no role", { role: "" }, "no-role"],
    ["a role that nobody knows", { role: "XX" }, "no-role"],
    ["a role in small letters", { role: "cu" }, "no-role"],
    ["a birth date that only PostgreSQL knows", { profile: { birth_date: "infinity" } }, "profile-incomplete"],
    ["a birth date before our era", { profile: { birth_date: "0044-03-15 BC" } }, "profile-incomplete"],
    ["an address with a quoted name", { email: '"a b"@example.com' }, "address-refused"],
    ["an address without a domain's dot", { email: "dev@localhost" }, "address-refused"],
    ["an address with a Kelvin sign", { email: "\u212Aate@example.com" }, "address-refused"],
    ["no address", { email: "" }, "address-refused"],
  ] as const)("%s: is left out and told, and everybody else comes in", async (_, changes, kind) => {
    const { source, db, run } = await createStand();
    const refused = await source.add({ email: "x@example.com", ...changes });
    const other = await source.add({ email: "other@example.com", password: hash });
    const findings = await run();
    expect(told(findings)).toEqual({ [kind]: [String(refused)] });
    expect(await ids(db)).toEqual([other]);
  });

  test("a column that an operator has made nullable, and a profile with a hole in it", async () => {
    const { source, run } = await createStand();
    await source.query("alter table users_userprofile alter phone drop not null");
    const id = await source.add({ email: "a@example.com", profile: {} });
    await source.query("update users_userprofile set phone = null");
    expect(told(await run())).toEqual({ "profile-incomplete": [String(id)] });
  });

  test("one address in several spellings: the verified one, then the older one, comes in, in any run", async () => {
    const { source, db, run } = await createStand();
    const add = (email: string, is_email_verified: boolean) => source.add({ email, is_email_verified, password: hash });
    const unverified = await add("Anna@example.com", false);
    const verified = await add("anna@example.com", true);
    const younger = await add("ANNA@example.com", true);
    const [idn, sameIdn] = [await add("b@bücher.example", true), await add("b@XN--BCHER-KVA.example", false)];
    for (let run_ = 0; run_ < 2; run_++) {
      const lines = told(await run())["address-taken"];
      expect(lines?.sort()).toEqual(
        [`${unverified},${verified}`, `${younger},${verified}`, `${sameIdn},${idn}`].sort(),
      );
      expect(await ids(db)).toEqual([verified, idn]);
    }
    await source.query("update users_user set email = 'left@example.com' where id = $1", [verified]);
    expect(counts(await run(), "updated", "imported", "address-taken")).toEqual([1, 1, 2]);
    expect(await ids(db)).toEqual([verified, younger, idn]);
  });

  test("an id or an address that belongs to somebody who registered here", async () => {
    const { source, db, run } = await createStand();
    const here = await registerHere(db, "Here@example.com");
    await source.add({ id: here, email: "a@example.com" });
    const sameAddress = await source.add({ id: 50, email: "here@example.com" });
    const before = await account(db, here);
    expect(told(await run())).toEqual({ "id-taken": [String(here)], "address-taken": [`${sameAddress},${here}`] });
    expect(await account(db, here)).toEqual(before);
  });

  test("an address that its owner has left here and may still take back", async () => {
    const { source, db, run } = await createStand();
    const here = await registerHere(db, "moved@example.com");
    await db.query(
      `insert into one_time_tokens (id, user_id, purpose, address, reserved_canonical, expires_at)
       values (gen_random_uuid(), $1, 'undo-email', 'Left@example.com', 'left@example.com', now() + interval '1 day')`,
      [here],
    );
    const later = await source.add({ id: here + 50, email: "left@example.com" });
    expect(told(await run())["address-taken"]).toEqual([`${later},${here}`]);
    await db.query("update one_time_tokens set ended_at = now()");
    expect(counts(await run(), "imported")).toEqual([1]);
  });
});

test("fields that our rules refuse cost nobody the account: taken over as they are, without control characters", async () => {
  const { source, db, run } = await createStand();
  const add = (email: string, profile: object) => source.add({ email, password: hash, profile });
  const name = await add("a@example.com", { first_name: "", last_name: "A\r\nBcc: x@example.com" });
  const phone = await add("b@example.com", { phone: "+12" });
  const unborn = await add("c@example.com", { birth_date: "2199-01-01" });
  const child = await add("d@example.com", { birth_date: new Date().toISOString().slice(0, 10) });
  const composed = await add("e@example.com", { first_name: " e\u0301 ", phone: "+48 512 345 678" });
  const unusable = await source.add({ email: "f@example.com", password: "!abc" });
  const picture = await add("g@example.com", { image_url: "https://storage.example.com/x/users/avatars/Nw_3.jpeg" });
  expect(told(await run())).toEqual({
    name: [String(name)],
    phone: [String(phone)],
    "birth-date": [String(unborn)],
    password: [String(unusable)],
    picture: [String(picture)],
  });
  expect(await account(db, name)).toMatchObject({ first_name: "", last_name: "A  Bcc: x@example.com" });
  expect(await account(db, phone)).toMatchObject({ phone: "+12" });
  expect(await account(db, unborn)).toMatchObject({ birth_date: "2199-01-01" });
  expect(await account(db, child)).toBeDefined();
  expect(await account(db, composed)).toMatchObject({ first_name: "é", phone: "+48512345678" });
  expect(await account(db, unusable)).toMatchObject({ password_hash: "!abc" });
});

describe("again, while the original is still live", () => {
  test("nothing has changed: nothing is written", async () => {
    const { source, db, run } = await createStand();
    const id = await source.add({ email: "a@example.com" });
    await run();
    const row = () =>
      db.query("select u.ctid, u.xmin, p.ctid, p.xmin, u.* from users u join user_profiles p on p.user_id = u.id");
    const before = await row();
    expect(counts(await run(), "unchanged", "imported", "updated")).toEqual([1, 0, 0]);
    expect(await row()).toEqual(before);
    expect(await ids(db)).toEqual([id]);
  });

  test("what has changed over there changes here, and what reads accounts can see that it did", async () => {
    const { source, db, run } = await createStand();
    const id = await source.add({ email: "a@example.com", password: hash });
    await run();
    await source.query(
      "update users_user set email = 'B@example.com', role = 'CO', is_active = false, is_email_verified = false, is_staff = true",
    );
    await source.query("update users_userprofile set first_name = 'Bea', birth_date = '1991-01-01'");
    expect(counts(await run(), "updated", "imported", "unchanged")).toEqual([1, 0, 0]);
    expect(await account(db, id)).toMatchObject({
      ...{ email: "B@example.com", email_canonical: "b@example.com", role: "CO", roles_held: ["CU", "CO"] },
      ...{ is_active: false, is_email_verified: false, is_staff: true, first_name: "Bea", birth_date: "1991-01-01" },
      ...{ version: 0, revision: 1, session_epoch: 0, access_changed_at: expect.any(Date) },
    });
    await source.query("update users_userprofile set last_name = 'Nowak'");
    await run();
    expect(await account(db, id)).toMatchObject({ last_name: "Nowak", revision: 2 });
    expect(await db.query("select 1 from search_terms where term = 'bea nowak' and not is_active")).toHaveLength(1);
    expect(await db.query("select 1 from outbox")).toEqual([]);
  });

  test("changed here: it stays as it is here, whatever happens over there, and that is told", async () => {
    const { source, db, run } = await createStand();
    const id = await source.add({ email: "a@example.com", password: hash });
    const other = await source.add({ email: "b@example.com", password: hash });
    await run();
    await db.query(
      "update users set version = 1, email = 'n@example.com', email_canonical = 'n@example.com' where id = $1",
      [id],
    );
    expect(told(await run())).toEqual({ "changed-here": [String(id)] });
    await source.query("update users_user set is_active = false, password = $1", [otherHash]);
    const findings = await run();
    expect(told(findings)).toEqual({ "changed-in-both": [String(id)] });
    expect(await account(db, id)).toMatchObject({ email: "n@example.com", is_active: true, password_hash: hash });
    expect(await account(db, other)).toMatchObject({ is_active: false, password_hash: otherHash });
  });

  test("signed in here: the new hash and the later sign-in stay; a new password over there ends the sessions", async () => {
    const { source, db, run } = await createStand();
    const id = await source.add({ email: "a@example.com", password: hash, last_login: "2024-01-01T00:00:00Z" });
    await run();
    await db.query("update users set password_hash = 'v1:none:hashed-anew', last_login = '2026-01-01T00:00:00Z'");
    await source.query("update users_userprofile set first_name = 'Bea'");
    await source.query("update users_user set last_login = '2025-01-01T00:00:00Z'");
    await run();
    expect(await account(db, id)).toMatchObject({
      ...{ first_name: "Bea", password_hash: "v1:none:hashed-anew", session_epoch: 0 },
      last_login: expect.stringMatching(/^2026-01-01/),
    });
    await source.query("update users_user set password = $1, last_login = '2026-02-02T00:00:00Z'", [otherHash]);
    await run();
    expect(await account(db, id)).toMatchObject({
      ...{ password_hash: otherHash, session_epoch: 1 },
      last_login: expect.stringMatching(/^2026-02-02/),
    });
  });

  test("addresses that were handed on, against the order of the ids: all in one run", async () => {
    const { source, db, run } = await createStand();
    const [a, b, c] = [1, 2, 3];
    for (const id of [a, b, c]) await source.add({ id, email: `${id}@example.com`, is_email_verified: id !== c });
    await run();
    for (const [id, email] of [
      [c, "left"],
      [b, "3"],
      [a, "2"],
    ] as const) {
      await source.query("update users_user set email = $2 where id = $1", [id, `${email}@example.com`]);
    }
    const findings = await run();
    expect(counts(findings, "updated", "address-taken")).toEqual([3, 0]);
    const emails = await db.query("select id, email from users order by id");
    expect(emails).toEqual([
      { id: a, email: "2@example.com" },
      { id: b, email: "3@example.com" },
      { id: c, email: "left@example.com" },
    ]);
  });

  test("gone over there: told, and left as it is", async () => {
    const { source, db, run } = await createStand();
    const id = await source.add({ email: "a@example.com", password: hash });
    const stays = await source.add({ email: "b@example.com", password: hash });
    await run();
    await source.query("delete from users_userprofile where user_id = $1", [id]);
    await source.query("delete from users_user where id = $1", [id]);
    expect(told(await run())).toEqual({ gone: [String(id)] });
    expect(await ids(db)).toEqual([id, stays]);
  });

  test("broken off: whole batches are here, and the next run brings the rest", async () => {
    const { source, db, run } = await createStand();
    await source.query(
      `insert into users_user select n, '!', false, n || '@example.com', 'CU', false, true, true, null, now()
       from generate_series(1, 2500) n`,
    );
    await source.query(
      "insert into users_userprofile select id, 'A', 'B', '', '+48512345678', '1990-01-01' from users_user",
    );
    let pages = 0;
    const broken = importFrom(source, db, (snapshot) => ({
      ...snapshot,
      query: async (statement, values) => {
        if (statement.includes("order by u.id limit") && ++pages === 3) throw new Error("Connection terminated");
        return await snapshot.query(statement, values);
      },
    }));
    await expect(broken).rejects.toThrow("Connection terminated");
    expect(await ids(db)).toHaveLength(2000);
    for (const table of ["user_profiles", "imported_users"])
      expect(await db.query(`select 1 from ${table}`)).toHaveLength(2000);
    expect(counts(await run(), "unchanged", "imported")).toEqual([2000, 500]);
    expect(await ids(db)).toHaveLength(2500);
  });
});

describe("the source", () => {
  test("is read as it stood at one moment, and cannot be written", async () => {
    const { source } = await createStand();
    const snapshot = await openSnapshot(source.url);
    undo.unshift(() => snapshot.close());
    expect(await snapshot.query("select 1 from users_user")).toEqual([]);
    await source.add({ email: "a@example.com" });
    expect(await snapshot.query("select 1 from users_user")).toEqual([]);
    await expect(snapshot.query("delete from users_user")).rejects.toThrow("read-only transaction");
  });

  test("its connection dies: the next statement says so, and the process lives", async () => {
    const { source } = await createStand();
    const snapshot = await openSnapshot(source.url);
    const [row] = await snapshot.query<{ pid: number }>("select pg_backend_pid() as pid");
    await source.query("select pg_terminate_backend($1)", [row?.pid]);
    await expect(snapshot.query("select 1")).rejects.toThrow();
    await snapshot.close();
  });
});

interface Outcome {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** `npm run cli -- import-django <args>` as a process of its own. */
async function command(stand: Stand, args: readonly string[], env: Record<string, string> = {}): Promise<Outcome> {
  const { target } = stand;
  const child = spawn(process.execPath, [join(import.meta.dirname, "../../scripts/cli.ts"), "import-django", ...args], {
    cwd: process.env["TEST_FOLDER"],
    env: {
      PATH: process.env["PATH"],
      ...{
        NODE_ENV: "test",
        SECRET_KEY: "a-secret-key-for-tests-0123456789-abcdef",
        DATA_DIR: process.env["TEST_FOLDER"],
      },
      ...{ PG_HOST: target.host, PG_PORT: String(target.port), PG_DATABASE: target.database },
      ...{ PG_USER: target.service.user, PG_PASSWORD: target.service.password },
      ...{ PG_MIGRATION_USER: target.user, PG_MIGRATION_PASSWORD: target.password, ...env },
    },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const code = new Promise<number | null>((resolve) => child.once("close", resolve));
  const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr)]);
  return { code: await code, stdout, stderr };
}

describe("the command", () => {
  test("imports, says how many of what, and writes the whole report for its owner alone", async () => {
    const stand = await createStand();
    await stand.source.add({ email: "a@example.com", password: hash });
    const skipped = await stand.source.add({ email: "admin@example.com", profile: null });
    const file = join(process.env["TEST_FOLDER"] ?? "", `report-${stand.target.database}.csv`);
    const outcome = await command(stand, ["--source", stand.source.url, "--report", file]);
    expect(outcome).toEqual({ code: 0, stdout: expect.stringMatching(/^2 accounts read in \d+ s\.\n/), stderr: "" });
    expect(outcome.stdout).toMatch(/^ +1 imported$/m);
    expect(outcome.stdout).toMatch(new RegExp(`^ +1 have no profile .*; id ${skipped}$`, "m"));
    expect(await readFile(file, "utf8")).toBe(`finding,id,other_id\nno-profile,${skipped},\n`);
    expect((await stat(file)).mode & 0o777).toBe(0o600);
    expect(await ids(stand.db)).toHaveLength(1);
  });

  test("takes the source's password from the environment", async () => {
    const stand = await createStand();
    await stand.source.add({ email: "a@example.com" });
    const url = new URL(stand.source.url);
    const { password } = url;
    url.password = "";
    expect((await command(stand, ["--source", url.href], { PGPASSWORD: password })).code).toBe(0);
    expect(await ids(stand.db)).toHaveLength(1);
  });

  test("another import runs into the same database: 1, and nothing happens", async () => {
    const stand = await createStand();
    await stand.source.add({ email: "a@example.com" });
    const lock = stand.db.dedicatedClient();
    await lock.connect();
    undo.unshift(() => lock.end());
    await lock.query("select pg_advisory_lock(4711004)");
    const outcome = await command(stand, ["--source", stand.source.url]);
    expect(outcome).toEqual({ code: 1, stdout: "", stderr: expect.stringContaining("Another import") });
    expect(await ids(stand.db)).toEqual([]);
  });

  test("a source that cannot be used: 1, the option is named, and the password is not repeated", async () => {
    const stand = await createStand();
    const { source, target } = stand;
    const empty = await createTestDatabase();
    undo.push(() => empty.drop());
    const changed = (change: (url: URL) => void) => {
      const url = new URL(source.url);
      change(url);
      return url.href;
    };
    const closedPort = String(await freePort());
    const cases: [string, string][] = [
      [changed((url) => (url.port = closedPort)), "ECONNREFUSED"],
      [changed((url) => (url.hostname = "nowhere.invalid")), "nowhere.invalid"],
      [changed((url) => (url.password = "wrong-Secret-9")), "password authentication failed"],
      [changed((url) => (url.pathname = "/nothing")), "does not exist"],
      [empty.url, "users_user, users_userprofile is missing"],
      [target.url, "own database"],
      [changed((url) => url.searchParams.set("sslmode", "require")), "SSL"],
    ];
    await source.query("alter table users_user rename is_staff to was_staff");
    cases.push([source.url, "users_user.is_staff is missing"]);
    for (const [url, reason] of cases) {
      const outcome = await command(stand, ["--source", url]);
      expect(outcome).toEqual({ code: 1, stdout: "", stderr: expect.stringContaining(reason) });
      expect(outcome.stderr).toMatch(/^--source: /m);
      expect(outcome.stderr).not.toContain(new URL(url).password);
      expect(outcome.stderr).not.toMatch(/\n\s+at /);
    }
    expect(await ids(stand.db)).toEqual([]);
  }, 60_000);

  test("the source goes away in the middle: 1, and that the command can be run again", async () => {
    const stand = await createStand();
    await stand.source.add({ email: "a@example.com" });
    const blocker = new pg.Client(stand.source.url);
    await blocker.connect();
    undo.unshift(() => blocker.end());
    await blocker.query("begin; lock table users_user");
    const outcome = command(stand, ["--source", stand.source.url]);
    await eventually("the import waits for the source", async () => {
      const ended = await stand.source.query<{ ended: boolean }>(
        `select pg_terminate_backend(pid) as ended from pg_stat_activity where datname = current_database()
           and application_name = 'identity-import' and wait_event_type = 'Lock'`,
      );
      return ended[0];
    });
    expect(await outcome).toEqual({
      code: 1,
      stdout: "",
      stderr: expect.stringMatching(/^--source: .*run it again\.\n$/),
    });
  });

  test("our own database away or not migrated: 1, and which of the two", async () => {
    const stand = await createStand();
    const env = {
      ...{ NODE_ENV: "production", PUBLIC_URL: "https://id.example.com", PG_PASSWORD: stand.target.service.password },
      ...{ PASSWORD_PEPPER: "a-pepper-for-tests-0123456789-abcdefghij" },
    };
    const run = async (changes: Record<string, string>) =>
      await command(stand, ["--source", stand.source.url], { ...env, ...changes });
    const closed = { PG_PORT: String(await freePort()) };
    expect([await run({ PG_DATABASE: "postgres" }), await run(closed)]).toEqual([
      { code: 1, stdout: "", stderr: expect.stringContaining("npm run migrate") },
      { code: 1, stdout: "", stderr: expect.stringContaining("service's database cannot be reached") },
    ]);
  });

  test.each([
    ["no source", [], "--source postgres://"],
    ["a source that is no URL", ["--source", "hidden-secret"], "--source must be"],
    ["a source of another kind", ["--source", "mysql://u:hidden-secret@localhost/db"], "--source must be"],
    ["no database", ["--source", "postgres://u:hidden-secret@localhost"], "--source must be"],
    ["an option that there is not", ["--source", "postgres://u:hidden-secret@h/d", "--force"], "--source postgres://"],
    [
      "a report in no folder",
      ["--source", "postgres://u:hidden-secret@h/d", "--report", "/no/where.csv"],
      "--report: ",
    ],
  ] as [string, string[], string][])("%s: 64, and how to call it", async (_, args, sentence) => {
    const stand = {
      target: {
        host: "127.0.0.1",
        port: 1,
        database: "x",
        user: "x",
        password: "x",
        service: { user: "x", password: "x" },
      },
    } as Stand;
    const outcome = await command(stand, args);
    expect(outcome).toEqual({ code: 64, stdout: "", stderr: expect.stringContaining(sentence) });
    expect(outcome.stderr).not.toMatch(/hidden-secret|\n\s+at /);
  });
});
