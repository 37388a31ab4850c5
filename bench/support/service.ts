import { mkdtemp, readFile, rm } from "node:fs/promises";
import { Agent, get } from "node:http";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { loadConfig, type Config, type DatabaseLogin } from "../../lib/config.ts";
import { silentLog } from "../../lib/log.ts";
import { asOwner, migrate } from "../../mixins/database/migrate.ts";
import { embeddedDefaults } from "../../mixins/embedded/defaults.ts";
import { generousBudgets } from "../../test/support/budgets.ts";
import { freePort } from "../../test/support/ports.ts";
import { startChild, type Child, type ChildOptions } from "./child.ts";
import type { Delays, Usage } from "./probe.ts";

/** What nodes stand on: a database and an SMTP server of their own, and secrets. */
export interface Stand {
  /** Of a node with all services but `events`, which needs Kafka in production. */
  readonly env: Readonly<Record<string, string>>;
  readonly config: Config;
  readonly database: DatabaseLogin;
  readonly dataDir: string;
  stop(): Promise<void>;
}
const withoutKafka = "auth,users,mailer,grpc-gateway,api-gateway";

export async function createStand(changes: Record<string, string> = {}): Promise<Stand> {
  const dataDir = await mkdtemp(join(tmpdir(), "bench-"));
  const base = await embeddedDefaults(
    { DATA_DIR: dataDir, SERVICES: withoutKafka, ...generousBudgets, ...changes },
    silentLog,
  );
  const config = loadConfig(base.env);
  const { database } = config;
  if (!database) throw new Error("no database");
  await migrate(database);
  const env = Object.entries(base.env).filter((entry): entry is [string, string] => entry[1] !== undefined);
  return {
    env: Object.fromEntries(env),
    config,
    database: asOwner(database),
    dataDir,
    stop: async () => {
      await base.stop();
      await rm(dataDir, { recursive: true, force: true });
    },
  };
}

export interface MeasuredNode extends Pick<Child, "pid" | "usage" | "delays" | "profile" | "stop"> {
  readonly url: string;
  /** host:port */
  readonly grpcAddress: string;
  /** From the start of the process until it said that it is ready (or, without HTTP, until it takes gRPC connections). */
  readonly startMs: number;
  /** Its log lines so far. */
  log(): Promise<string>;
}

/** `node main.ts` as in production, its log in a file. */
export async function startNode(
  stand: Stand,
  changes: Record<string, string> = {},
  options: Pick<ChildOptions, "nodeArgs" | "anyCore"> = {},
): Promise<MeasuredNode> {
  const [webPort, grpcPort] = [await freePort(), await freePort()];
  const url = `http://127.0.0.1:${webPort}`;
  const logFile = join(stand.dataDir, `node-${webPort}.log`);
  const own = { WEB_APP_PORT: String(webPort), GRPC_SERVER_PORT: String(grpcPort), PUBLIC_URL: url };
  const bind = { WEB_APP_BIND: "127.0.0.1", GRPC_SERVER_HOST: "127.0.0.1", TRUSTED_PROXY_HOPS: "1" };
  const env: Record<string, string> = { ...stand.env, ...own, ...bind, NODE_ENV: "production", ...changes };
  const began = performance.now();
  const child = startChild(join(import.meta.dirname, "../../main.ts"), { env, logFile, ...options });
  const log = () => readFile(logFile, "utf8");
  const services = (env["SERVICES"] ?? "").split(",");
  const isReady = services.includes("api-gateway")
    ? () => answersReady(url)
    : services.includes("grpc-gateway")
      ? () => accepts(grpcPort)
      : async () => (await log()).includes("ready: http");
  const ended = child.ready.then(
    () => undefined,
    async () => new Error(`the node ended\n${(await log()).slice(-4000)}`),
  );
  await Promise.race([until(isReady), ended.then((error) => Promise.reject(error ?? new Error("not a node")))]);
  const startMs = performance.now() - began;
  return { ...child, url, grpcAddress: `127.0.0.1:${grpcPort}`, startMs, log };
}

async function until(isSo: () => Promise<boolean>, withinMs = 60_000): Promise<void> {
  const end = performance.now() + withinMs;
  while (!(await isSo())) {
    if (performance.now() > end) throw new Error(`the node was not ready within ${withinMs} ms`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

const noKeepAlive = new Agent({ keepAlive: false });
const answersReady = (url: string): Promise<boolean> =>
  new Promise((resolve) => {
    get(`${url}/health/ready`, { agent: noKeepAlive }, (response) => {
      response.resume();
      resolve(response.statusCode === 200);
    }).once("error", () => resolve(false));
  });
const accepts = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1", () => resolve(true)).once("error", () => resolve(false));
    socket.once("connect", () => socket.destroy());
  });

export interface MeasuredService extends MeasuredNode {
  /** Begins to measure inside the process; what it returns ends it. */
  probe(): Promise<() => Promise<Delays & Usage>>;
}

/** One node on a stand of its own, on whatever core. */
export async function startMeasuredService(changes: Record<string, string> = {}): Promise<MeasuredService> {
  const stand = await createStand();
  const node = await startNode(stand, changes, { anyCore: true });
  return {
    ...node,
    probe: async () => {
      await node.delays();
      return async () => ({ ...(await node.delays()), ...(await node.usage()) });
    },
    stop: async () => {
      await node.stop();
      await stand.stop();
    },
  };
}
