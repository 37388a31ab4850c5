import { randomBytes } from "node:crypto";
import pg from "pg";

export interface TestDatabase {
  host: string;
  port: number;
  /** The owner of the tables, who may do everything. */
  user: string;
  password: string;
  database: string;
  /** What the service signs in with: no table is its own. */
  service: { user: string; password: string };
  /** `postgres://user:password@host:port/database` */
  url: string;
  /** Cuts off whoever is still connected. */
  drop(): Promise<void>;
}

/** A migrated, empty database of its own for a test file; the server is jest's (see global-setup.ts). */
export async function createTestDatabase(): Promise<TestDatabase> {
  const server = {
    host: fromSetup("TEST_PG_HOST"),
    port: Number(fromSetup("TEST_PG_PORT")),
    user: fromSetup("TEST_PG_USER"),
    password: fromSetup("TEST_PG_PASSWORD"),
  };
  const database = `test_${randomBytes(8).toString("hex")}`;
  const execute = async (statement: string) => {
    const client = new pg.Client({ ...server, database: "postgres" });
    await client.connect();
    await client.query(statement).finally(() => client.end());
  };
  await execute(`create database ${database} template template_identity`);
  return {
    ...server,
    database,
    service: { user: fromSetup("TEST_PG_SERVICE_USER"), password: fromSetup("TEST_PG_SERVICE_PASSWORD") },
    url: `postgres://${server.user}:${server.password}@${server.host}:${server.port}/${database}`,
    drop: () => execute(`drop database if exists ${database} with (force)`),
  };
}

function fromSetup(name: string): string {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set: run this by jest, whose global setup starts PostgreSQL.`);
  return value;
}
