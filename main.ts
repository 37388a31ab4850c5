import { ConfigError, configExitCode, loadConfig, readEnvironment, type Env } from "./lib/config.ts";
import { createLog } from "./lib/log.ts";
import { keepCompiledCode } from "./lib/compiled-code.ts";

/** What `npm start` runs: fills in defaults, starts this node's services, and stops them in order when asked to. */
const environment = readEnvironment();
const production = environment["NODE_ENV"] === "production";
const log = createLog({ level: environment["LOG_LEVEL"] ?? "info", pretty: !production });
/** SIGTERM to exit, at the most (DESIGN.md). */
const stopWithinMs = 15_000;
/** What has been started so far, the last one first. */
const stops: (() => Promise<void>)[] = [];

process.on("unhandledRejection", (reason) => fail("an error was not handled", reason));
process.on("uncaughtException", (error) => fail("an error was not handled", error));
for (const signal of ["SIGTERM", "SIGINT"] as const) process.once(signal, () => void stop(signal));

const started = Promise.withResolvers<undefined>();
try {
  const env = production ? environment : await developmentBase(environment);
  const config = loadConfig(env);
  keepCompiledCode();
  const { startNode } = await import("./node.ts");
  const node = await startNode(config, log);
  stops.unshift(() => node.stop());
  started.resolve(undefined);
  // No reason to refuse the start: somebody may try it out on his own machine.
  if (production && !config.web.secureCookies && config.services.includes("api-gateway")) {
    log.warn({}, "PUBLIC_URL is http: cookies are without Secure, and whoever is on the way can read them");
  }
  log.info({ event: "sys_startup", services: config.services }, `ready: ${config.publicUrl}`);
  if (process.argv.includes("--repl")) {
    // `quit` stops the broker and leaves at once: what it stands on has to go with it.
    node.broker.options.stopped = async () => await stopAll(stops.splice(1));
    node.broker.repl();
  }
} catch (error) {
  await stopAll(stops);
  started.resolve(undefined);
  if (error instanceof ConfigError) {
    process.stderr.write(`The configuration is not complete:\n${error.problems.map((p) => `  ${p}\n`).join("")}`);
    process.exit(configExitCode);
  }
  fail("the start failed", error);
}

/** PostgreSQL, SMTP and secrets where none are configured; the schema is brought up to date without being asked. */
async function developmentBase(env: Env): Promise<Env> {
  const { embeddedDefaults } = await import("./mixins/embedded/defaults.ts");
  const base = await embeddedDefaults(env, log);
  stops.unshift(() => base.stop());
  const { database } = loadConfig(base.env);
  if (database) {
    const { migrate } = await import("./mixins/database/migrate.ts");
    const applied = await migrate(database);
    if (applied.length > 0) log.info({ applied }, "the database was migrated");
  }
  return base.env;
}

async function stop(signal: string): Promise<void> {
  log.info({ signal }, "stopping");
  setTimeout(() => fail("stopping took too long", `more than ${stopWithinMs} ms`), stopWithinMs).unref();
  await started.promise;
  await stopAll(stops);
  process.exit(0);
}

async function stopAll(what: readonly (() => Promise<void>)[]): Promise<void> {
  for (const each of what) await each();
}

function fail(what: string, error: unknown): never {
  const { message, stack } = error instanceof Error ? error : { message: String(error), stack: undefined };
  log.error({ reason: message, stack }, what);
  process.exit(1);
}
