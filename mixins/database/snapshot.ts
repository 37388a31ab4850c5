import pg from "pg";
import type { Sql } from "./database.ts";

/** Another database, read as it stood at one moment: one connection, one transaction that cannot write. */
export interface Snapshot extends Sql {
  close(): Promise<void>;
}

/**
 * @param url `postgres://user@host:port/database`; a password that is not in it comes from `PGPASSWORD` or `~/.pgpass`
 * @throws Error of the driver or the socket, which may name host, user and database, and never the password
 */
export async function openSnapshot(url: string): Promise<Snapshot> {
  const client = new pg.Client({
    connectionString: url,
    application_name: "identity-import",
    connectionTimeoutMillis: 10_000,
    // The client's own limit, for a server that accepts and never answers.
    query_timeout: 120_000,
    keepAlive: true,
  });
  // Without a listener a connection that breaks would end the process; the next statement tells it.
  client.on("error", () => undefined);
  try {
    await client.connect();
    await client.query("begin isolation level repeatable read, read only");
    // Between two statements it waits for the other database.
    await client.query("set local idle_in_transaction_session_timeout = 0");
  } catch (error) {
    await client.end().catch(() => undefined);
    throw error;
  }
  return {
    query: async <Row extends pg.QueryResultRow>(text: string, values: readonly unknown[] = []) =>
      (await client.query<Row>(text, [...values])).rows,
    close: () => client.end(),
  };
}
