import pg from "pg";
import type { DatabaseLogin } from "../../lib/config.ts";
import { ServiceError } from "../../lib/errors.ts";
import type { Log } from "../../lib/log.ts";
import { databaseErrorMapped, isConnectionLost, isRepeatable } from "./database-errors.ts";

/** Where a repository's statement runs: in a transaction, or on its own. */
export interface Sql {
  /** @param Row the columns as the statement names them */
  query<Row extends pg.QueryResultRow>(text: string, values?: readonly unknown[]): Promise<Row[]>;
}
/** What may be announced once a transaction has committed: hints that save latency, never the truth itself. */
export type Signal =
  | { readonly name: "outbox.appended" | "mails.queued" | "password-reset.requested" }
  /** `account.changed`: what views show; `access.changed`: what access tokens depend on. */
  | { readonly name: "account.changed" | "access.changed"; readonly user_id: number; readonly revision: number }
  | { readonly name: "sessions.ended"; readonly session_ids: readonly string[] };
/** A statement that must be part of a transaction asks for this, so that it cannot run outside of one. */
export interface Transaction extends Sql {
  /** Announces something after the commit, once however often it is asked for; nothing if the transaction fails. */
  signal(signal: Signal): void;
}
export interface Database extends Sql {
  /**
   * Runs `work` in one transaction, repeated up to three times when PostgreSQL asks for it (deadlock, serialisation).
   * @throws ServiceError `unavailable` when the database is away, busy or too slow
   */
  transaction<T>(work: (tx: Transaction) => Promise<T>): Promise<T>;
  /** A connection outside the pool, for a lock that lives as long as the connection. The caller ends it. */
  dedicatedClient(): pg.Client;
  close(): Promise<void>;
}

const maxRuns = 3;
/** Beyond this a caller is told to come again: the whole answer is due within 3 s. */
const acquireTimeoutMs = 2000;
const statementTimeoutMs = 2500;
const lockTimeoutMs = 2000;
/** Whoever looks for recent changes by their time looks back further than this (mixins/access-guard). */
const transactionLimitMs = 15_000;

pg.types.setTypeParser(pg.types.builtins.INT8, Number);
// A date has no time zone: keep `YYYY-MM-DD` as it is.
pg.types.setTypeParser(pg.types.builtins.DATE, String);

export interface DatabaseOptions {
  /** Shown in PostgreSQL's list of connections. */
  readonly name: string;
  readonly connections: number;
  readonly onCommit?: (signal: Signal) => void;
}

/** Connects at first use. Each service has a small pool of its own, so that one cannot starve another. */
export function openDatabase(config: DatabaseLogin, log: Log, options: DatabaseOptions): Database {
  const settings: pg.ClientConfig = {
    host: config.host,
    port: config.port,
    database: config.database,
    user: config.user,
    password: config.password,
    application_name: `identity-${options.name}`,
    connectionTimeoutMillis: acquireTimeoutMs,
    // The client's own limit, for a server that accepts and never answers; the server's limits come first.
    query_timeout: statementTimeoutMs + 300,
    statement_timeout: statementTimeoutMs,
    lock_timeout: lockTimeoutMs,
    idle_in_transaction_session_timeout: 10_000,
    keepAlive: true,
  };
  const pool = new pg.Pool({ ...settings, max: options.connections, idleTimeoutMillis: 30_000 });
  // Without a listener an idle connection that breaks would end the process.
  pool.on("error", (error) => log.warn({ reason: error.message }, "lost an idle database connection"));

  const query = async <Row extends pg.QueryResultRow>(
    text: string,
    values: readonly unknown[] = [],
  ): Promise<Row[]> => {
    try {
      return (await pool.query<Row>(text, [...values])).rows;
    } catch (error) {
      throw databaseErrorMapped(error);
    }
  };

  const transaction = async <T>(work: (tx: Transaction) => Promise<T>): Promise<T> => {
    for (let run = 1; ; run++) {
      const signals = new Map<string, Signal>();
      try {
        const result = await runOnce(pool, signals, work);
        for (const signal of signals.values()) options.onCommit?.(signal);
        return result;
      } catch (error) {
        if (run < maxRuns && isRepeatable(error)) continue;
        throw databaseErrorMapped(error);
      }
    }
  };

  return { query, transaction, dedicatedClient: () => new pg.Client(settings), close: () => pool.end() };
}

async function runOnce<T>(
  pool: pg.Pool,
  signals: Map<string, Signal>,
  work: (tx: Transaction) => Promise<T>,
): Promise<T> {
  const client = await pool.connect();
  const startedAt = performance.now();
  let broken: Error | undefined;
  // The pool listens only while a client is idle: an unheard error would end the process.
  const onError = (error: Error): void => {
    broken = error;
  };
  client.on("error", onError);
  const tx: Transaction = {
    signal: (signal) => void signals.set(JSON.stringify(signal), signal),
    query: async <Row extends pg.QueryResultRow>(text: string, values: readonly unknown[] = []) =>
      (await client.query<Row>(text, [...values])).rows,
  };
  try {
    await client.query("begin");
    const result = await work(tx);
    if (performance.now() - startedAt > transactionLimitMs) throw new ServiceError("unavailable");
    await client.query("commit");
    return result;
  } catch (error) {
    // A connection that no longer answers would only make the roll-back wait as well: out of the pool with it.
    if (isConnectionLost(error)) broken = error;
    else
      await client.query("rollback").catch((reason: unknown) => {
        broken = reason instanceof Error ? reason : new Error(String(reason));
      });
    throw error;
  } finally {
    client.off("error", onError);
    client.release(broken);
  }
}
