import { ConfigError, configExitCode, loadConfig, readEnvironment, type Env } from "./lib/config.ts";
import { createLog, type Log } from "./lib/log.ts";
import { startNode } from "./node.ts";

/** What `npm start` runs: fills in defaults, starts this node's services, and stops them in order when asked to. */
const environment = readEnvironment();
const production = environment["NODE_ENV"] === "production";
const log = createLog({ level: environment["LOG_LEVEL"] ?? "info", pretty: !production });
/** SIGTERM to exit, at the most (DESIGN.md). */
const stopWithinMs = 15_000;

process.on("unhandledRejection", (reason) => fail("an error was not handled", reason));
process.on("uncaughtException", (error) => fail("an error was not handled", error));

try {
  const base = production
    ? { env: environment, stop: () => Promise.resolve() }
    : await developmentBase(environment, log);
  const config = loadConfig(base.env);
  const node = await startNode(config, log);
  const stop = async (signal: string): Promise<void> => {
    log.info({ signal }, "stopping");
    setTimeout(() => fail("stopping took too long", undefined), stopWithinMs).unref();
    await node.stop();
    await base.stop();
    process.exit(0);
  };
  for (const signal of ["SIGTERM", "SIGINT"]) process.once(signal, () => void stop(signal));
  log.info({ event: "sys_startup", services: config.services }, `ready: ${config.publicUrl}`);
  if (process.argv.includes("--repl")) node.broker.repl();
} catch (error) {
  if (error instanceof ConfigError) {
    process.stderr.write(`The configuration is not complete:\n${error.problems.map((p) => `  ${p}\n`).join("")}`);
    process.exit(configExitCode);
  }
  fail("the start failed", error);
}

/** PostgreSQL, SMTP and secrets where none are configured; the schema is brought up to date without being asked. */
async function developmentBase(env: Env, to: Log) {
  const { embeddedDefaults } = await import("./mixins/embedded/defaults.ts");
  const base = await embeddedDefaults(env, to);
  const { database } = loadConfig(base.env);
  if (database) {
    const { migrate } = await import("./mixins/database/migrate.ts");
    const applied = await migrate(database);
    if (applied.length > 0) to.info({ applied }, "the database was migrated");
  }
  return base;
}

function fail(what: string, error: unknown): never {
  log.error(
    { reason: error instanceof Error ? error.message : error, stack: (error as Error | undefined)?.stack },
    what,
  );
  process.exit(1);
}
