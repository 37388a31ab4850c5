import { spawn } from "node:child_process";
import { chmod, mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import pg from "pg";
import { silentLog } from "../../lib/log.ts";
import { migrate } from "../../mixins/database/migrate.ts";
import { startEmbeddedPostgres, type EmbeddedPostgres } from "../../mixins/embedded/postgres.ts";

export const TEMPLATE = "template_identity";

/** Nothing here outlives the run, so nothing is worth a sync. */
const SETTINGS = [
  "fsync=off",
  "synchronous_commit=off",
  "full_page_writes=off",
  "wal_level=minimal",
  "max_wal_senders=0",
  "autovacuum=off",
  "max_connections=300",
];

/**
 * One PostgreSQL for the whole run, with a migrated template; workers find it by TEST_PG_*.
 * What tests write belongs into TEST_FOLDER: it goes with the run, and servers that were left in it end.
 * @returns stops it
 */
export async function startTestCluster(): Promise<() => Promise<void>> {
  const dataDir = await mkdtemp(join(tmpdir(), "identity-test-"));
  // As root the server runs as somebody else, who has to enter.
  await chmod(dataDir, 0o755);
  const cleanUp = cleanUpWhenWeDie(dataDir);
  const postgres = await startEmbeddedPostgres({ dataDir, database: TEMPLATE, log: silentLog, settings: SETTINGS });
  const { user, password } = postgres;
  await migrate({ ...postgres, ...postgres.service, owner: { user, password } });
  await protectTemplate(postgres);
  process.env["TEST_FOLDER"] = dataDir;
  process.env["TEST_PG_HOST"] = postgres.host;
  process.env["TEST_PG_PORT"] = String(postgres.port);
  process.env["TEST_PG_USER"] = postgres.user;
  process.env["TEST_PG_PASSWORD"] = postgres.password;
  process.env["TEST_PG_SERVICE_USER"] = postgres.service.user;
  process.env["TEST_PG_SERVICE_PASSWORD"] = postgres.service.password;
  return async () => {
    await postgres.stop();
    await cleanUp();
  };
}

/** A template that nobody can connect to never is "being accessed by other users": workers may clone it at once. */
async function protectTemplate(postgres: EmbeddedPostgres): Promise<void> {
  const client = new pg.Client({ ...postgres, database: "postgres" });
  await client.connect();
  await client.query(`alter database ${TEMPLATE} with allow_connections false is_template true`);
  await client.end();
}

/** The shell's input ends with this process however it ends, kill -9 included; then servers and folder go too. */
function cleanUpWhenWeDie(folder: string): () => Promise<void> {
  const script = `
    cat > /dev/null
    find "$0" -name postmaster.pid -exec sh -c 'kill -QUIT "$(head -n 1 "$1")"' - {} \\; 2> /dev/null
    for i in 1 2 3 4 5 6 7 8 9 10; do rm -rf "$0" 2> /dev/null && break; sleep 0.2; done`;
  // Detached: Ctrl-C must not reach it.
  const shell = spawn("sh", ["-c", script, folder], { detached: true, stdio: ["pipe", "ignore", "ignore"] });
  shell.unref();
  return () =>
    new Promise((resolve) => {
      shell.once("exit", () => resolve());
      shell.ref();
      shell.stdin.end();
    });
}
