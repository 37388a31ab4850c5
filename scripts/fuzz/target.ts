import { randomUUID } from "node:crypto";
import { spawn, type ChildProcess } from "node:child_process";
import { createWriteStream } from "node:fs";
import { mkdtemp } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { loadConfig } from "../../lib/config.ts";
import { silentLog } from "../../lib/log.ts";
import { embeddedDefaults } from "../../mixins/embedded/defaults.ts";
import { migrate } from "../../mixins/database/migrate.ts";
import { wait } from "../demo/report.ts";

export interface Target {
  readonly url: string;
  readonly grpcAddress: string;
  readonly logFile: string;
  /** A new account. @returns its access token */
  signUp(role: "customer" | "moderator"): Promise<string>;
  /** @throws when the service has ended before, or does not stop as it should */
  stop(): Promise<void>;
}

const root = join(import.meta.dirname, "../..");
const password = "correct horse battery";
const startWithinMs = 60_000;

/** A service configured as in production, on a database and an SMTP server of its own that end with it. */
export async function startTarget(): Promise<Target> {
  const dataDir = await mkdtemp(join(tmpdir(), "identity-fuzz-"));
  const base = await embeddedDefaults({ DATA_DIR: dataDir, NODE_ENV: "development" }, silentLog);
  const { database } = loadConfig(base.env);
  if (database) await migrate(database);
  const [web, grpc] = [await freePort(), await freePort()];
  const url = `http://127.0.0.1:${web}`;
  const env: NodeJS.ProcessEnv = {
    ...base.env,
    ...{ NODE_ENV: "production", LOG_LEVEL: "debug", DATA_DIR: dataDir, PUBLIC_URL: url },
    ...{ WEB_APP_BIND: "127.0.0.1", WEB_APP_PORT: String(web) },
    ...{ GRPC_SERVER_HOST: "127.0.0.1", GRPC_SERVER_PORT: String(grpc) },
    // Demanded there; nobody listens, and events wait in the outbox.
    ...{ KAFKA_BOOTSTRAP_SERVER_HOST: "127.0.0.1", KAFKA_BOOTSTRAP_SERVER_PORT: "1" },
    // All come from one address; and what a proxy would write is fuzzed as well.
    ...{
      THROTTLE_WRONG_PASSWORDS: "50",
      THROTTLE_PER_IP: "1000000",
      THROTTLE_MAILS: "1000000",
      TRUSTED_PROXY_HOPS: "1",
    },
  };
  const logFile = join(dataDir, "service.log");
  const child = spawn(process.execPath, [join(root, "main.ts")], { env, stdio: ["ignore", "pipe", "inherit"] });
  child.stdout.pipe(createWriteStream(logFile));
  process.once("exit", () => child.kill("SIGKILL"));
  const ended = new Promise<number>((resolve) => child.once("exit", (code) => resolve(code ?? -1)));
  const ready = await wait(async () => {
    if (child.exitCode !== null) return false;
    return (await fetch(`${url}/health/live`).catch(() => undefined))?.ok === true ? true : undefined;
  }, startWithinMs);
  if (ready !== true) throw new Error(`The service did not start; its log is ${logFile}`);

  let people = 0;
  return {
    url,
    grpcAddress: `127.0.0.1:${grpc}`,
    logFile,
    signUp: async (role) => {
      const email = `${role}-${people++}@example.com`;
      if (role === "customer") return await token(url, "users/customers/", { email, password, user_profile: profile });
      await createModerator(env, email);
      return await token(url, "tokens/", { email, password });
    },
    stop: async () => {
      const alive = child.exitCode === null;
      child.kill("SIGTERM");
      const code = await ended;
      await base.stop();
      if (!alive || code !== 0) throw new Error(`The service ${alive ? "did not stop well" : "had ended"}: ${code}`);
    },
  };
}

const profile = { first_name: "Anna", last_name: "Kowalska", phone: "+48512345678", birth_date: "1990-05-17" };

/** A busy machine says "come again", also of a registration that it has done. */
async function token(url: string, path: string, body: unknown): Promise<string> {
  const headers = { "content-type": "application/json", "idempotency-key": randomUUID() };
  const cookie = await wait(async () => {
    const answer = await fetch(`${url}/api/v1/${path}`, { method: "POST", headers, body: JSON.stringify(body) });
    return answer.headers.getSetCookie().find((line) => line.startsWith("access_token="));
  }, startWithinMs);
  if (cookie === undefined) throw new Error("Nobody could sign in.");
  return cookie.slice("access_token=".length, cookie.indexOf(";"));
}

async function createModerator(env: NodeJS.ProcessEnv, email: string): Promise<void> {
  const names = ["--first-name", "Mo", "--last-name", "Derator", "--phone", "+48512345678"];
  const args = ["create-moderator", "--email", email, ...names, "--birth-date", "1980-01-01", "--no-email"];
  const child: ChildProcess = spawn(process.execPath, [join(root, "scripts/cli.ts"), ...args], {
    env,
    stdio: ["pipe", "ignore", "inherit"],
  });
  child.stdin?.end(password);
  const code = await new Promise((resolve) => child.once("exit", resolve));
  if (code !== 0) throw new Error("No moderator could be made.");
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === "string") throw new Error("no port");
  return address.port;
}
