import { createHmac } from "node:crypto";
import { existsSync } from "node:fs";
import { access, chown, constants, mkdir, readFile, realpath, rename, stat, writeFile } from "node:fs/promises";
import { Socket } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import pg from "pg";
import type { Log } from "../../lib/log.ts";
import * as server from "./postgres-server.ts";
import { underLock } from "./process-lock.ts";

export interface EmbeddedPostgres {
  host: "127.0.0.1";
  port: number;
  user: string;
  password: string;
  database: string;
  /** A second login without any right of its own, for the service itself; the one above owns what it makes. */
  service: { user: string; password: string };
  /** Gives up this process's share; the last process to do so stops the server ("fast"). */
  stop(): Promise<void>;
}

interface Connection {
  port: number;
  password: string;
}
interface Share {
  client: pg.Client;
  socket: Socket;
}
interface Joined {
  connection: Connection;
  share: Share;
}

const SHARE = "embedded-postgres share";
const START_DEADLINE_MS = 30_000;
/** Past this, running statements are cut off (SIGQUIT, repaired from WAL): the whole process has 15 s to end. */
const STOP_PATIENCE_MS = 5_000;

/**
 * Starts a private PostgreSQL in `${dataDir}/postgres` (made at first, in about a second), or joins the one that already
 * runs there.
 *
 * Any number of processes may call this at once: a file lock puts them in line, the first starts the server and the
 * others join it. Each holds one idle connection as its share; a process that was killed loses its share with its
 * socket. A server that lost all its processes is joined, and in the end stopped, by the next one.
 *
 * As root the server runs as `nobody`: PostgreSQL refuses root.
 *
 * @param options.settings extra `name=value` settings of the server; they count only for the process that starts it
 * @throws Error with a sentence for the operator: data directory not writable, no binaries, the server's last log lines
 */
export async function startEmbeddedPostgres(options: {
  dataDir: string;
  database: string;
  log: Log;
  settings?: readonly string[];
}): Promise<EmbeddedPostgres> {
  const { database, log, settings = [] } = options;
  const folder = await openFolder(options.dataDir);
  const { connection, share } = await underLock(join(folder, "lock"), async () => {
    const known = await readConnection(folder);
    const joined = (known && (await joinRunning(folder, known, log))) ?? (await start(folder, known, settings, log));
    await createDatabase(joined.share.client, database);
    await createServiceRole(joined.share.client, serviceLogin(joined.connection));
    return joined;
  });
  // The share alone must not keep a process alive that has nothing else to do.
  share.socket.unref();
  const stop = () => giveUp(share, folder, connection, log);
  return { host: server.HOST, ...connection, user: server.USER, database, service: serviceLogin(connection), stop };
}

async function openFolder(dataDir: string): Promise<string> {
  try {
    await mkdir(join(dataDir, "postgres"), { recursive: true });
    const folder = await realpath(join(dataDir, "postgres"));
    await access(folder, constants.R_OK | constants.W_OK | constants.X_OK);
    return folder;
  } catch (cause) {
    const advice = "let DATA_DIR name a folder that this user may write, or PG_HOST a server of your own";
    throw new Error(`Cannot write to the data directory ${dataDir} (${String(cause)}): ${advice}.`, { cause });
  }
}

/** A server of ours that is still coming up (or going down) is waited for. */
async function joinRunning(folder: string, connection: Connection, log: Log): Promise<Joined | undefined> {
  const deadline = Date.now() + START_DEADLINE_MS;
  while ((await server.runningPid(folder)) !== undefined) {
    const share = await connect(folder, connection, SHARE, log);
    if (share) {
      log.info({ port: connection.port }, "joined the embedded PostgreSQL that already runs");
      return { connection, share };
    }
    if (Date.now() > deadline) throw new Error(`The PostgreSQL that runs in ${folder} does not answer; end it first.`);
    await sleep(50);
  }
  return undefined;
}

async function start(
  folder: string,
  known: Connection | undefined,
  settings: readonly string[],
  log: Log,
): Promise<Joined> {
  const began = performance.now();
  const password = known?.password ?? server.newPassword();
  if (!(await server.isInitialised(folder))) {
    log.info({ folder }, "creating the embedded PostgreSQL");
    // Before the database: without its password it would be lost.
    await writeConnection(folder, { port: 0, password });
    await server.initialise(folder, password);
  } else if (!known) {
    throw new Error(`connection.json is gone: remove ${folder} to begin with an empty database.`);
  }
  await server.removeForeignPid(folder);

  const deadline = Date.now() + START_DEADLINE_MS;
  for (let wished = known?.port; ;) {
    const connection = { port: await server.freePort(wished), password };
    await writeConnection(folder, connection);
    const launched = await server.launch(folder, connection.port, settings);
    while (!launched.failure && Date.now() < deadline) {
      const share = await connect(folder, connection, SHARE, log);
      if (share) {
        launched.release();
        log.info({ port: connection.port, ms: Math.round(performance.now() - began) }, "embedded PostgreSQL started");
        return { connection, share };
      }
      await sleep(20);
    }
    launched.kill();
    // Backends of a killed server need a moment to end; a port can be taken between the look and the bind.
    const lines = await server.lastLogLines(folder);
    const passing = /shared memory block|could not bind|could not create any TCP/i.test(lines);
    if (!passing || Date.now() > deadline) {
      throw new Error(`The embedded PostgreSQL does not start: ${launched.failure ?? "no answer"}\n${lines}`);
    }
    wished = connection.port;
    await sleep(200);
  }
}

async function createDatabase(client: pg.Client, database: string): Promise<void> {
  const { rowCount } = await client.query("select from pg_database where datname = $1", [database]);
  if (rowCount === 0) await client.query(`create database ${client.escapeIdentifier(database)}`);
}

/** Follows from the owner's password, which does not follow from it: nothing more has to be kept. */
const serviceLogin = ({ password }: Connection) => ({
  user: "identity",
  password: createHmac("sha256", password).update("identity").digest("base64url"),
});

async function createServiceRole(client: pg.Client, { user, password }: EmbeddedPostgres["service"]): Promise<void> {
  const { rowCount } = await client.query("select from pg_roles where rolname = $1", [user]);
  const [role, secret] = [client.escapeIdentifier(user), client.escapeLiteral(password)];
  if (rowCount === 0) await client.query(`create role ${role} login password ${secret}`);
}

/** @returns nothing if nobody answers, or somebody else: a copied project folder knows the original's port and password. */
async function connect(folder: string, to: Connection, name: string, log: Log): Promise<Share | undefined> {
  const socket = new Socket();
  const client = new pg.Client({
    ...to,
    host: server.HOST,
    user: server.USER,
    database: "postgres",
    ssl: false,
    application_name: name,
    connectionTimeoutMillis: 2_000,
    stream: () => socket,
  });
  // Without a listener a server that goes away would end this process.
  client.on("error", (error) => log.warn({ reason: error.message }, "lost a connection to the embedded PostgreSQL"));
  try {
    await client.connect();
    const { rows } = await client.query<{ place: string }>("select current_setting('data_directory') as place");
    if (rows[0]?.place === server.clusterOf(folder)) return { client, socket };
    await client.end();
  } catch {
    socket.destroy();
  }
  return undefined;
}

async function giveUp(share: Share, folder: string, connection: Connection, log: Log): Promise<void> {
  share.socket.ref();
  // Resolves when the server's side has closed, which it does after it has forgotten the share.
  await share.client.end().catch(() => undefined);
  await underLock(join(folder, "lock"), async () => {
    const probe = await connect(folder, connection, "embedded-postgres stop", log);
    if (!probe) return;
    const others = await probe.client.query("select from pg_stat_activity where application_name = $1", [SHARE]);
    await probe.client.end();
    if (others.rows.length > 0) {
      log.info({ others: others.rows.length }, "other processes keep the embedded PostgreSQL");
    } else {
      await server.shutDown(folder, STOP_PATIENCE_MS);
      log.info({}, "embedded PostgreSQL stopped");
    }
  });
}

async function readConnection(folder: string): Promise<Connection | undefined> {
  const file = join(folder, "connection.json");
  if (!existsSync(file)) return undefined;
  const value: unknown = JSON.parse(await readFile(file, "utf8"));
  if (typeof value !== "object" || value === null || !("port" in value) || !("password" in value)) return undefined;
  const { port, password } = value;
  return typeof port === "number" && typeof password === "string" ? { port, password } : undefined;
}

async function writeConnection(folder: string, connection: Connection): Promise<void> {
  const file = join(folder, "connection.json");
  const { uid, gid } = await stat(folder);
  await writeFile(`${file}.new`, JSON.stringify(connection), { mode: 0o600 });
  // The folder's user must still be able to read it after root has started the server once.
  await chown(`${file}.new`, uid, gid);
  await rename(`${file}.new`, file);
}
