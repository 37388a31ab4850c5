import { mkdtemp } from "node:fs/promises";
import { join } from "node:path";
import pg from "pg";
import type { ServiceBroker } from "moleculer";
import type { Clock } from "../../lib/clock.ts";
import { loadConfig, type Config } from "../../lib/config.ts";
import { silentLog, type Log } from "../../lib/log.ts";
import { readMailbox, startMailCatcher, type CaughtMail } from "../../mixins/embedded/mail-catcher.ts";
import { startNode } from "../../node.ts";
import { generousBudgets } from "./budgets.ts";
import { Client } from "./client.ts";
import { createTestDatabase, type TestDatabase } from "./database.ts";
import { eventually } from "./eventually.ts";
import { freePort } from "./ports.ts";

export interface TestStand {
  readonly database: TestDatabase;
  /** The environment that the service needs; every listener on loopback, each on a port of its own. */
  readonly env: Readonly<Record<string, string>>;
  readonly url: string;
  readonly grpcAddress: string;
  query<Row extends pg.QueryResultRow>(text: string, values?: unknown[]): Promise<Row[]>;
  client(): Client;
  mails(): Promise<CaughtMail[]>;
  /** The mail to an address that was written last, once so many are there: two at once may arrive in any order. */
  mailTo(address: string, count?: number): Promise<CaughtMail>;
  stop(): Promise<void>;
}

/** What a service stands on in a test: a database of its own, a real SMTP server, ports, secrets. */
export async function createStand(changes: Record<string, string> = {}): Promise<TestStand> {
  const database = await createTestDatabase();
  const dataDir = await mkdtemp(join(process.env["TEST_FOLDER"] ?? "", "stand-"));
  const catcher = await startMailCatcher({ dataDir, log: silentLog });
  const [webPort, grpcPort] = [await freePort(), await freePort()];
  const pool = new pg.Pool({ connectionString: database.url, max: 4 });
  pool.on("error", () => undefined);
  const env = {
    NODE_ENV: "test",
    LOG_LEVEL: "info",
    DATA_DIR: dataDir,
    SECRET_KEY: "a-secret-key-for-tests-0123456789-abcdef",
    PASSWORD_PEPPER: "a-pepper-for-tests-0123456789-abcdefghij",
    PASSWORD_HASH_COST: "4",
    WEB_APP_BIND: "127.0.0.1",
    WEB_APP_PORT: String(webPort),
    PUBLIC_URL: `http://127.0.0.1:${webPort}`,
    GRPC_SERVER_HOST: "127.0.0.1",
    GRPC_SERVER_PORT: String(grpcPort),
    PG_HOST: database.host,
    PG_PORT: String(database.port),
    PG_DATABASE: database.database,
    PG_USER: database.service.user,
    PG_PASSWORD: database.service.password,
    PG_MIGRATION_USER: database.user,
    PG_MIGRATION_PASSWORD: database.password,
    EMAIL_HOST: "127.0.0.1",
    EMAIL_PORT: String(catcher.port),
    EMAIL_FROM: "no-reply@example.com",
    EMAIL_RATE_LIMIT: "1000",
    ...generousBudgets,
    ...changes,
  };
  const url = `http://127.0.0.1:${env.WEB_APP_PORT}`;
  const mailsTo = async (address: string) => (await readMailbox(dataDir)).filter((mail) => mail.to.includes(address));
  return {
    database,
    env,
    url,
    grpcAddress: `127.0.0.1:${env.GRPC_SERVER_PORT}`,
    query: async <Row extends pg.QueryResultRow>(text: string, values?: unknown[]) =>
      (await pool.query<Row>(text, values)).rows,
    client: () => new Client(url),
    mails: () => readMailbox(dataDir),
    mailTo: (address, count = 1) =>
      eventually(`mail ${count} to ${address}`, async () => {
        const mails = await mailsTo(address);
        if (mails.length < count) return undefined;
        const idOf = (mail: CaughtMail) => /[0-9a-f-]{36}/.exec(mail.message_id ?? "")?.[0];
        const newest = "select id from mails where id = any($1::uuid[]) order by seq desc limit 1";
        const { rows } = await pool.query<{ id: string }>(newest, [mails.map(idOf)]);
        return mails.find((mail) => idOf(mail) === rows[0]?.id);
      }),
    stop: async () => {
      await pool.end();
      await catcher.stop();
      await database.drop();
    },
  };
}

export interface TestService extends TestStand {
  readonly config: Config;
  readonly broker: ServiceBroker;
}

/** All services (or those of `SERVICES`) in this process. */
export async function startService(
  changes: Record<string, string> = {},
  options: { log?: Log; clock?: Clock } = {},
): Promise<TestService> {
  const stand = await createStand(changes);
  const config = loadConfig(stand.env);
  const node = await startNode(config, options.log ?? silentLog, options.clock);
  return {
    ...stand,
    config,
    broker: node.broker,
    stop: async () => {
      await node.stop();
      await stand.stop();
    },
  };
}

/** The path of the link in a mail, as the front end or a browser would open it. */
export function linkIn(mail: CaughtMail): string {
  const link = /https?:\/\/\S+\/verify\/\S+/.exec(mail.text)?.[0];
  if (link === undefined) throw new Error(`no link in "${mail.subject}"`);
  return new URL(link).pathname;
}
