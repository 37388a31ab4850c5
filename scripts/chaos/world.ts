import { chmod, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import pg from "pg";
import { silentLog } from "../../lib/log.ts";
import { migrate } from "../../mixins/database/migrate.ts";
import { runningPid } from "../../mixins/embedded/postgres-server.ts";
import { startEmbeddedPostgres } from "../../mixins/embedded/postgres.ts";
import { generousBudgets } from "../../test/support/budgets.ts";
import type { FailPoint } from "../../test/support/fail-point.ts";
import type { TestKafka } from "../../test/support/kafka.ts";
import { startMailSink, type MailSink } from "../../test/support/mail-sink.ts";
import { hasNats, startNats } from "../../test/support/nats-server.ts";
import type { ServiceProcess } from "../../test/support/process.ts";
import { startDoomed } from "../../test/support/relay-kills.ts";
import { startTcpProxy, type TcpProxy } from "../../test/support/tcp-proxy.ts";
import { createContractTopics, kafkaEnv, type Queried } from "../../test/support/topic-watch.ts";
import { freeKafkaPorts, lastingPorts, startKafka } from "../kafka/broker.ts";

/** Two nodes and everything that they stand on, each thing behind a proxy. */
export interface World extends Queried {
  readonly nodes: readonly ChaosNode[];
  readonly kafka: TestKafka;
  /** Without its ports; of a node with all services. */
  readonly env: Readonly<Record<string, string>>;
  readonly sink: MailSink;
  readonly proxies: Readonly<Record<"postgres" | "kafka" | "smtp", TcpProxy>> & { readonly nats?: TcpProxy };
  /** Kafka ends as by a power cut, and comes back with what it had. */
  restartKafka(pauseMs: number): Promise<void>;
  /** PostgreSQL ends at once ("immediate"), and repairs itself from its log. */
  restartPostgres(): Promise<void>;
  stop(): Promise<void>;
}

export interface ChaosNode {
  readonly url: string;
  /** Starts it, again and again until it is ready. @param point where it kills itself */
  start(changes?: Readonly<Record<string, string>>, point?: FailPoint): Promise<void>;
  /** SIGKILL. */
  kill(): Promise<void>;
  /** Resolves when the process that runs has ended. */
  ended(): Promise<unknown>;
}

export async function createWorld(): Promise<World> {
  const stops: (() => Promise<unknown>)[] = [];
  const stop = async () => {
    for (const each of stops.toReversed()) await each();
  };
  try {
    return { ...(await build((each) => void stops.push(each))), stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

async function build(onStop: (stop: () => Promise<unknown>) => void): Promise<Omit<World, "stop">> {
  const dir = await mkdtemp(join(tmpdir(), "identity-chaos-"));
  // As root, PostgreSQL runs as somebody else, who has to enter.
  await chmod(dir, 0o755);
  onStop(() => rm(dir, { recursive: true, force: true }));
  const proxied = async (port: number): Promise<TcpProxy> => {
    const proxy = await startTcpProxy({ host: "127.0.0.1", port });
    onStop(() => proxy.stop());
    return proxy;
  };

  const startPostgres = () =>
    startEmbeddedPostgres({ dataDir: dir, database: "identity", log: silentLog, settings: ["max_connections=200"] });
  let postgres = await startPostgres();
  onStop(() => postgres.stop());
  await migrate(postgres);
  const pool = new pg.Pool({ ...postgres, max: 2 });
  pool.on("error", () => undefined);
  onStop(() => pool.end());

  const ports = await freeKafkaPorts();
  const toKafka = await proxied(ports.sasl);
  const kafkaDir = join(dir, "kafka");
  const startBroker = () => startKafka({ dir: kafkaDir, ports, advertisedSasl: toKafka.port });
  let broker = await startBroker();
  onStop(() => broker.stop());
  const { plaintext, user, password } = broker;
  const kafka: TestKafka = { plaintext, sasl: `127.0.0.1:${toKafka.port}`, user, password };
  await createContractTopics(kafka, { partitions: 6 });

  const sink = await startMailSink();
  onStop(() => sink.stop());
  const nats = hasNats() ? await startNats() : undefined;
  if (nats) onStop(() => nats.stop());
  const toNats = nats && (await proxied(Number(new URL(nats.url).port)));
  const proxies = {
    postgres: await proxied(postgres.port),
    kafka: toKafka,
    smtp: await proxied(sink.port),
    ...(toNats && { nats: toNats }),
  };
  const env = {
    NODE_ENV: "test",
    LOG_LEVEL: "info",
    DATA_DIR: dir,
    SECRET_KEY: "a-secret-key-for-chaos-0123456789-abcdef",
    // The database is what is under test here, and not bcrypt.
    PASSWORD_HASH_COST: "4",
    WEB_APP_BIND: "127.0.0.1",
    GRPC_SERVER_HOST: "127.0.0.1",
    PG_HOST: postgres.host,
    PG_PORT: String(proxies.postgres.port),
    PG_DATABASE: postgres.database,
    PG_USER: postgres.user,
    PG_PASSWORD: postgres.password,
    EMAIL_HOST: "127.0.0.1",
    EMAIL_PORT: String(proxies.smtp.port),
    EMAIL_FROM: "no-reply@example.com",
    ...(toNats && { TRANSPORTER: `nats://127.0.0.1:${toNats.port}` }),
    ...kafkaEnv(kafka),
    ...generousBudgets,
  };
  const nodes = [await makeNode(env), await makeNode(env)];
  for (const node of nodes) onStop(() => node.kill());

  return {
    nodes,
    kafka,
    env,
    sink,
    proxies,
    query: async <Row extends pg.QueryResultRow>(text: string, values?: unknown[]) =>
      (await pool.query<Row>(text, values)).rows,
    restartKafka: async (pauseMs) => {
      broker.kill();
      await broker.exited;
      await sleep(pauseMs);
      broker = await startBroker();
    },
    restartPostgres: async () => {
      const folder = join(dir, "postgres");
      const pid = await runningPid(folder);
      if (pid !== undefined) process.kill(pid, "SIGQUIT");
      while ((await runningPid(folder)) !== undefined) await sleep(10);
      const { port } = postgres;
      postgres = await startPostgres();
      if (postgres.port !== port) throw new Error("PostgreSQL came back on another port");
    },
  };
}

async function makeNode(env: Readonly<Record<string, string>>): Promise<ChaosNode> {
  const [web = 0, grpc = 0] = await lastingPorts(2);
  const url = `http://127.0.0.1:${web}`;
  const own = { WEB_APP_PORT: String(web), GRPC_SERVER_PORT: String(grpc), PUBLIC_URL: url };
  let running: ServiceProcess | undefined;
  let given = 0;
  return {
    url,
    start: async (changes = {}, point) => {
      const mine = ++given;
      // What it stands on may be away just then: whoever runs it in production starts it again as well.
      while (mine === given) {
        running = startDoomed({ ...env, ...own, ...changes }, point);
        const started = running;
        const isReady = await started.ready().then(
          () => true,
          () => false,
        );
        if (isReady) return;
        await started.kill();
        // It may have got as far as its point.
        if (point) return;
        await sleep(200);
      }
    },
    kill: async () => {
      given++;
      await running?.kill();
    },
    ended: async () => await running?.exited,
  };
}
