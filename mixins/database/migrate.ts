import { readFile } from "node:fs/promises";
import { join } from "node:path";
import pg from "pg";
import { Umzug, type UmzugStorage } from "umzug";
import type { DatabaseConfig, DatabaseLogin } from "../../lib/config.ts";
import { grantService } from "./grants.ts";

const folder = join(import.meta.dirname, "../../migrations");
/** Any number that nothing else in this database uses. */
const lockKey = 4_711_001;

/** A database whose tables are to be made or changed. */
export type Migrated = DatabaseLogin & Partial<Pick<DatabaseConfig, "owner">>;

/** As whoever owns the tables: the service's own role, unless another is configured. */
export const asOwner = ({ owner, ...login }: Migrated): DatabaseLogin => ({ ...login, ...owner });

/**
 * Brings a database up to date, all steps in one transaction: a failure in the middle leaves nothing, and of several
 * nodes that start at once one migrates while the others wait for it. Where an owner is configured it migrates, and the
 * service's role is granted what it needs.
 * @returns names of the steps that were applied
 */
export async function migrate(database: Migrated): Promise<string[]> {
  const client = new pg.Client({ ...asOwner(database), connectionTimeoutMillis: 5000 });
  await client.connect();
  try {
    await client.query("begin");
    await client.query("set local lock_timeout = '60s'");
    await client.query("select pg_advisory_xact_lock($1)", [lockKey]);
    // A step that waits for a long query makes everybody behind it wait as well: better to fail and be run again.
    await client.query("set local lock_timeout = '3s'");
    await client.query(
      "create table if not exists migrations (name text primary key, applied_at timestamptz default now())",
    );
    const applied = await steps(client).up();
    if (database.owner) await grantService(client, database.user);
    await client.query("commit");
    return applied.map((step) => step.name);
  } finally {
    // Ending the connection rolls back what was not committed.
    await client.end();
  }
}

function steps(client: pg.Client): Umzug<pg.Client> {
  const run = async (statement: string, values: unknown[] = []): Promise<void> => {
    await client.query(statement, values);
  };
  const storage: UmzugStorage<pg.Client> = {
    logMigration: ({ name }) => run("insert into migrations (name) values ($1)", [name]),
    unlogMigration: ({ name }) => run("delete from migrations where name = $1", [name]),
    executed: async () => {
      const { rows } = await client.query<{ name: string }>("select name from migrations order by name");
      return rows.map((row) => row.name);
    },
  };
  return new Umzug({
    migrations: {
      glob: ["*.sql", { cwd: folder }],
      resolve: ({ name, path }) => ({
        name,
        up: async () => await client.query(await readFile(path ?? join(folder, name), "utf8")),
      }),
    },
    context: client,
    storage,
    logger: undefined,
  });
}
