import { loadConfig, readEnvironment, type Config, type Env } from "../../lib/config.ts";
import { createLog, type Log } from "../../lib/log.ts";
import { migrate } from "../../mixins/database/migrate.ts";
import { openDatabase, type Database } from "../../mixins/database/database.ts";

/** Runs a command on the database of this environment: the embedded one outside production, where none is configured. */
export async function withDatabase(work: (config: Config, db: Database, log: Log) => Promise<void>): Promise<void> {
  const environment: Env = { ...readEnvironment(), SERVICES: "auth" };
  const production = environment["NODE_ENV"] === "production";
  const log = createLog({ level: "warn", pretty: false });
  const { embeddedDefaults } = production
    ? { embeddedDefaults: undefined }
    : await import("../../mixins/embedded/defaults.ts");
  const base = await embeddedDefaults?.(environment, log);
  try {
    const config = loadConfig(base?.env ?? environment);
    if (!config.database) throw new Error("no database is configured");
    if (!production) await migrate(config.database);
    const db = openDatabase(config.database, log, { name: "cli", connections: 2 });
    try {
      await work(config, db, log);
    } finally {
      await db.close();
    }
  } finally {
    await base?.stop();
  }
}
