/** `npm run migrate`: brings the database that PG_* names up to date. In production a step of its own, before the start. */
import { randomBytes } from "node:crypto";
import { ConfigError, configExitCode, loadConfig, readEnvironment, type DatabaseConfig } from "../lib/config.ts";
import { silentLog } from "../lib/log.ts";
import { isConnectionLost } from "../mixins/database/database-errors.ts";
import { migrate } from "../mixins/database/migrate.ts";

const base = await migrationBase();
try {
  const { database } = loadConfig(base.env);
  if (database) await migrateAndTell(database);
} catch (error) {
  if (!(error instanceof ConfigError)) throw error;
  console.error(`The configuration is not complete:\n${error.problems.map((problem) => `  ${problem}`).join("\n")}`);
  process.exitCode = configExitCode;
} finally {
  await base.stop();
}

/** Nothing but PG_* is asked of a migration job: it should hold no secret that it has no use for. */
async function migrationBase() {
  const environment = readEnvironment();
  if (environment["NODE_ENV"] !== "production") {
    const { embeddedDefaults } = await import("../mixins/embedded/defaults.ts");
    return await embeddedDefaults({ ...environment, SERVICES: "users" }, silentLog);
  }
  const connection = ["PG_HOST", "PG_PORT", "PG_DATABASE", "PG_USER", "PG_PASSWORD"];
  const names = ["NODE_ENV", ...connection, "PG_MIGRATION_USER", "PG_MIGRATION_PASSWORD"];
  const own = Object.fromEntries(names.map((name) => [name, environment[name]]));
  const unused = { SERVICES: "users", SECRET_KEY: randomBytes(32).toString("base64url") };
  return { env: { ...own, ...unused }, stop: () => Promise.resolve() };
}

async function migrateAndTell(database: DatabaseConfig): Promise<void> {
  const where = `${database.database} on ${database.host}:${database.port}`;
  try {
    const applied = await migrate(database);
    console.log(applied.length === 0 ? `${where} is up to date.` : `${where}: applied ${applied.join(", ")}.`);
  } catch (error) {
    const what = isConnectionLost(error) ? "cannot be reached" : "was not migrated, nothing was changed";
    console.error(`The database ${where} ${what}: ${reasonOf(error)}`);
    process.exitCode = 1;
  }
}

/** A host with several addresses fails with an AggregateError, whose message is empty. */
function reasonOf(error: unknown): string {
  if (error instanceof AggregateError) return error.errors.map(reasonOf).join(", ");
  return error instanceof Error ? error.message : String(error);
}
