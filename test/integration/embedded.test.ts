import { afterEach, beforeEach, describe, expect, test } from "@jest/globals";
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { chmod, cp, mkdir, mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline/promises";
import { createTransport } from "nodemailer";
import pg from "pg";
import { silentLog } from "../../lib/log.ts";
import { readMailbox, startMailCatcher, type MailCatcher } from "../../mixins/embedded/mail-catcher.ts";
import { startEmbeddedPostgres, type EmbeddedPostgres } from "../../mixins/embedded/postgres.ts";
import { createTestDatabase } from "../support/database.ts";

let dataDir: string;
let cleanUps: (() => Promise<unknown>)[];

beforeEach(async () => {
  cleanUps = [];
  dataDir = await makeFolder();
});

afterEach(async () => {
  for (const cleanUp of cleanUps.toReversed()) await cleanUp();
});

describe("embedded PostgreSQL", () => {
  test("first start: serves the database on loopback, and the secret is its owner's alone", async () => {
    const postgres = await start();
    expect(await ask(postgres, "select current_database() as answer")).toBe("identity");
    expect(await ask(postgres, "show listen_addresses", "listen_addresses")).toBe("127.0.0.1");
    expect(await ask(postgres, "select lower('ÉÜ') as answer")).toBe("éü");
    expect((await stat(join(dataDir, "postgres/connection.json"))).mode & 0o777).toBe(0o600);
    await expect(ask({ ...postgres, password: "guess" }, "select 1")).rejects.toThrow("password authentication failed");
  });

  test("later start: keeps data, port and password", async () => {
    const first = await start();
    await ask(first, "create table kept as select 42 as answer");
    await first.stop();
    await expect(ask(first, "select 1")).rejects.toThrow("ECONNREFUSED");
    const second = await start();
    expect(await ask(second, "select answer from kept")).toBe(42);
    expect([second.port, second.password]).toEqual([first.port, first.password]);
  });

  test("the service's own login owns nothing; a cluster from before it was there gets it, with the same password", async () => {
    const first = await start();
    const { service } = first;
    expect(await ask({ ...first, ...service }, "select current_user::text as answer")).toBe("identity");
    await expect(ask({ ...first, ...service }, "create table mine (n int)")).rejects.toThrow("permission denied");
    await expect(ask({ ...first, ...service, user: first.user }, "select 1")).rejects.toThrow("authentication failed");
    await ask(first, "drop role identity");
    await first.stop();
    const second = await start();
    expect(second.service).toEqual(service);
    expect(await ask({ ...second, ...service }, "select 1 as answer")).toBe(1);
  });

  test("later start when somebody else took the port: chooses another", async () => {
    const first = await start();
    await first.stop();
    await occupy(first.port);
    const second = await start();
    expect(second.port).not.toBe(first.port);
    expect(await ask(second, "select 1 as answer")).toBe(1);
  });

  test("server killed: the next start recovers what was committed", async () => {
    const killed = await start();
    await ask(killed, "create table kept as select 42 as answer");
    process.kill(await serverPid(), "SIGKILL");
    const next = await start();
    expect(await ask(next, "select answer from kept")).toBe(42);
  });

  test("server killed and its id taken by something else: starts all the same", async () => {
    const killed = await start();
    const file = join(dataDir, "postgres/data/postmaster.pid");
    const lines = await readFile(file, "utf8");
    await killed.stop();
    await writeFile(file, lines.replace(/^\d+/, String(process.pid)), { mode: 0o600 });
    const next = await start();
    expect(await ask(next, "select 1 as answer")).toBe(1);
  });

  test("first start cut off in the middle: begins anew", async () => {
    await mkdir(join(dataDir, "postgres/data.new/base"), { recursive: true });
    expect(await ask(await start(), "select 1 as answer")).toBe(1);
  });

  test("starter killed: the next one takes the server over, and stops it in the end", async () => {
    const { child, port } = await startInChild();
    const pid = await serverPid();
    child.kill("SIGKILL");
    await once(child, "exit");
    const next = await start();
    expect([next.port, await serverPid()]).toEqual([port, pid]);
    await next.stop();
    await expect(ask(next, "select 1")).rejects.toThrow("ECONNREFUSED");
  });

  test("several first starts at once: one server, and the last to leave stops it", async () => {
    const [here, ...children] = await Promise.all([start(), startInChild(), startInChild()]);
    expect(children.map(({ port }) => port)).toEqual([here.port, here.port]);
    await here.stop();
    expect(await ask(here, "select 1 as answer")).toBe(1);
    for (const { child } of children) {
      child.stdin?.end();
      expect(await once(child, "exit")).toEqual([0, null]);
    }
    await expect(ask(here, "select 1")).rejects.toThrow("ECONNREFUSED");
  });

  test("two starts in one process: share as well", async () => {
    const [one, two] = await Promise.all([start(), start()]);
    await one.stop();
    expect(await ask(two, "select 1 as answer")).toBe(1);
  });

  test("folder copied while its server runs: the copy gets a server of its own", async () => {
    const original = await start();
    await ask(original, "checkpoint");
    const copy = await makeFolder();
    await cp(dataDir, copy, { recursive: true, preserveTimestamps: true });
    await giveToOwnerOf(join(dataDir, "postgres/data"), join(copy, "postgres/data"));
    const copied = await start(copy);
    expect(copied.port).not.toBe(original.port);
  });

  test("project folder that is closed to others: starts, as root too", async () => {
    const closed = await makeFolder(0o700);
    expect(await ask(await start(join(closed, "project/.data")), "select 1 as answer")).toBe(1);
  });

  test("data directory that cannot be written: says so, and what to do", async () => {
    const file = join(dataDir, "a-file");
    await writeFile(file, "");
    await expect(start(file)).rejects.toThrow(/^Cannot write to the data directory .* let DATA_DIR name a folder/);
  });

  test("database without its password: says what to remove", async () => {
    await (await start()).stop();
    await rm(join(dataDir, "postgres/connection.json"));
    await expect(start()).rejects.toThrow(/^connection\.json is gone: remove .*postgres to begin/);
  });

  test("server that refuses to start: shows its last words", async () => {
    await expect(start(dataDir, ["shared_buffers=nonsense"])).rejects.toThrow(
      /does not start: it ended with 1\n.*nonsense/s,
    );
  });
});

describe("test databases", () => {
  test("many at once: each is a clone of its own", async () => {
    const databases = await Promise.all(Array.from({ length: 6 }, () => createTestDatabase()));
    expect(new Set(databases.map(({ database }) => database)).size).toBe(6);
    const [one] = databases;
    expect(await ask(one!, "select count(*)::int as answer from users")).toBe(0);
    await Promise.all(databases.map((database) => database.drop()));
    await expect(ask(one!, "select 1")).rejects.toThrow("does not exist");
  });
});

describe("mail catcher", () => {
  test("mail: arrives with envelope, subject, both parts and headers, whoever reads", async () => {
    const catcher = await startCatcher();
    const envelope = { from: "bounce@example.org", to: ["zoë@example.org", "hidden@example.org"] };
    const headers = { "Auto-Submitted": "auto-generated", "X-Caught-Envelope": '{"to":["forged@example.org"]}' };
    const content = { subject: "Grüße, ❤", text: "Überprüfen\n.\nEnde", html: "<p>Überprüfen</p>" };
    const sent = await send(catcher, { from: "a@example.org", to: "b@example.org", envelope, headers, ...content });
    const [mail, ...others] = await readMailbox(dataDir);
    expect(others).toEqual([]);
    expect(mail).toMatchObject({ ...envelope, subject: content.subject, message_id: sent.messageId });
    expect([mail?.text.trim(), mail?.html.trim()]).toEqual([content.text, content.html]);
    expect(mail?.headers["auto-submitted"]).toBe("auto-generated");
    expect(Date.now() - Date.parse(mail?.received_at ?? "")).toBeLessThan(60_000);
  });

  test("mails of several catchers: one mailbox, newest first, up to the limit", async () => {
    const catchers = [await startCatcher(), await startCatcher()];
    for (const [n, subject] of ["one", "two", "three"].entries()) {
      await send(catchers[n % 2]!, { from: "a@example.org", to: "b@example.org", subject, text: subject });
    }
    expect((await readMailbox(dataDir, 2)).map(({ subject }) => subject)).toEqual(["three", "two"]);
    expect((await catchers[0]!.list()).map(({ text, html }) => [text.trim(), html])).toEqual([
      ["three", ""],
      ["two", ""],
      ["one", ""],
    ]);
    await catchers[0]!.clear();
    expect(await readMailbox(dataDir)).toEqual([]);
  });

  test("more than 500 mails: the oldest go", async () => {
    const catcher = await startCatcher();
    const old = Array.from({ length: 500 }, (_, n) => join(dataDir, `mailbox/20000101T000000000Z-${n + 1000}.eml`));
    await Promise.all(
      old.map((file) => writeFile(file, 'X-Caught-Envelope: {"received_at":"","from":"","to":[]}\r\n\r\n')),
    );
    await send(catcher, { from: "a@example.org", to: "b@example.org", subject: "new", text: "" });
    const mails = await readMailbox(dataDir, 1000);
    expect(mails.length).toBe(500);
    expect(mails[0]?.subject).toBe("new");
    expect(mails.at(-1)?.id).toBe("20000101T000000000Z-1001");
  });

  test("files that are not ours, and no mailbox at all: nothing", async () => {
    expect(await readMailbox(dataDir)).toEqual([]);
    await startCatcher();
    await writeFile(join(dataDir, "mailbox/a.eml"), "Subject: not ours\r\n\r\n");
    await writeFile(join(dataDir, "mailbox/b.eml"), "X-Caught-Envelope: {}\r\n\r\n");
    expect(await readMailbox(dataDir)).toEqual([]);
  });

  test("credentials wanted: refuses without and with wrong ones, takes the right ones", async () => {
    const catcher = await startCatcher({ user: "app", password: "right" });
    const mail = { from: "a@example.org", to: "b@example.org", subject: "s", text: "t" };
    await expect(send(catcher, mail)).rejects.toThrow("530");
    await expect(send(catcher, mail, { user: "app", pass: "wrong" })).rejects.toThrow("535");
    await send(catcher, mail, { user: "app", pass: "right" });
    expect((await catcher.list()).length).toBe(1);
  });

  test("mail over 10 MB: refused for good, and not kept", async () => {
    const catcher = await startCatcher();
    const mail = {
      from: "a@example.org",
      to: "b@example.org",
      subject: "s",
      text: "x".repeat(79).concat("\n").repeat(140_000),
    };
    await expect(send(catcher, mail)).rejects.toMatchObject({ responseCode: 552 });
    expect(await catcher.list()).toEqual([]);
  });

  test("port in use: rejects", async () => {
    const { port } = await startCatcher();
    await expect(startMailCatcher({ dataDir, port, log: silentLog })).rejects.toThrow("EADDRINUSE");
  });
});

/** With the rights that a project folder usually has: as root, PostgreSQL's account has to enter. */
async function makeFolder(mode = 0o755): Promise<string> {
  const folder = await mkdtemp(join(process.env["TEST_FOLDER"] ?? tmpdir(), "embedded-"));
  cleanUps.push(() => rm(folder, { recursive: true, force: true }));
  await chmod(folder, mode);
  return folder;
}

async function start(directory = dataDir, settings: string[] = []): Promise<EmbeddedPostgres> {
  const options = { dataDir: directory, database: "identity", log: silentLog, settings: ["fsync=off", ...settings] };
  const postgres = await startEmbeddedPostgres(options);
  cleanUps.push(() => postgres.stop());
  return postgres;
}

/** A process that prints its port, and gives up its share when its input ends. */
async function startInChild(): Promise<{ child: ChildProcess; port: number }> {
  const script = join(import.meta.dirname, "../support/start-embedded.ts");
  const child = spawn(process.execPath, [script, dataDir], { stdio: ["pipe", "pipe", "inherit"] });
  cleanUps.push(async () => {
    if (child.exitCode === null && child.kill("SIGKILL")) await once(child, "exit");
  });
  for await (const line of createInterface({ input: child.stdout })) return { child, port: Number(line) };
  throw new Error("The child ended without a port");
}

async function ask(
  to: Omit<EmbeddedPostgres, "stop" | "host">,
  statement: string,
  column = "answer",
): Promise<unknown> {
  const { port, user, password, database } = to;
  const client = new pg.Client({ host: "127.0.0.1", port, user, password, database });
  try {
    await client.connect();
    const { rows } = await client.query<Record<string, unknown>>(statement);
    return rows[0]?.[column];
  } finally {
    await client.end().catch(() => undefined);
  }
}

async function serverPid(): Promise<number> {
  return Number.parseInt(await readFile(join(dataDir, "postgres/data/postmaster.pid"), "utf8"), 10);
}

async function occupy(port: number): Promise<Server> {
  const server = createServer().listen(port, "127.0.0.1");
  await once(server, "listening");
  cleanUps.push(() => new Promise((resolve) => server.close(resolve)));
  return server;
}

async function giveToOwnerOf(model: string, tree: string): Promise<void> {
  const { uid, gid } = await stat(model);
  await once(spawn("chown", ["-R", `${uid}:${gid}`, tree]), "exit");
}

async function startCatcher(credentials?: { user: string; password: string }): Promise<MailCatcher> {
  const catcher = await startMailCatcher({ dataDir, log: silentLog, ...(credentials && { credentials }) });
  cleanUps.push(() => catcher.stop());
  return catcher;
}

function send(
  catcher: MailCatcher,
  mail: object,
  auth?: { user: string; pass: string },
): Promise<{ messageId: string }> {
  const options = { host: "127.0.0.1", port: catcher.port, ...(auth && { auth }) };
  return createTransport(options).sendMail(mail);
}
