import { open, type FileHandle } from "node:fs/promises";
import { parseArgs } from "node:util";
import { ServiceError } from "../../lib/errors.ts";
import type { Database } from "../../mixins/database/database.ts";
import { openSnapshot, type Snapshot } from "../../mixins/database/snapshot.ts";
import { importUsers } from "./import-django/import-users.ts";
import { missingInSource } from "./import-django/source.repository.ts";
import { UsageError } from "./usage-error.ts";
import { withDatabase } from "./with-database.ts";

const usage = `npm run cli -- import-django --source postgres://user@host:port/database [--report FILE]
The source is the database of the Django service, which is only read. Its password is taken from PGPASSWORD or ~/.pgpass,
or from the URL, where other users of this machine can see it. The report tells id and reason of every account that was
skipped or is worth a look.`;

/** Any number that nothing else in this database uses. */
const lockKey = 4_711_004;

/** Takes over the accounts of the Django service, again and again until the switch (docs/moving-over.md). */
export async function importDjangoCommand(args: readonly string[]): Promise<void> {
  const { url, report } = await readArguments(args);
  try {
    await withDatabase(async (_config, db) => {
      await alone(db, () => withSource(url, (source) => runImport(source, db, report)));
    });
  } finally {
    await report?.close();
  }
}

async function runImport(source: Snapshot, db: Database, report: FileHandle | undefined): Promise<void> {
  const begin = Date.now();
  const seconds = () => ((Date.now() - begin) / 1000).toFixed(0);
  let read = 0;
  const progress = setInterval(() => console.error(`${read} accounts after ${seconds()} s`), 10_000);
  try {
    const findings = await importUsers(source, db, { now: begin, onProgress: (count) => (read = count) });
    console.log(`${read} accounts read in ${seconds()} s.\n${findings.summary()}`);
    await report?.writeFile(findings.csv());
  } catch (error) {
    const stays = `What was written of ${read} accounts stays; run it again.`;
    if (error instanceof ServiceError) throw new Error(`The service's database does not answer. ${stays}`);
    throw new Error(`${reasonOf(error)}. ${stays}`);
  } finally {
    clearInterval(progress);
  }
}

/** Two at once would only wait for each other's rows. */
async function alone(db: Database, work: () => Promise<void>): Promise<void> {
  const client = db.dedicatedClient();
  client.on("error", () => undefined);
  await client.connect().catch((error: unknown) => {
    throw new Error(`The service's database cannot be reached: ${reasonOf(error)}`);
  });
  try {
    const { rows } = await client.query<{ migrated: boolean; free: boolean }>(
      "select to_regclass('imported_users') is not null as migrated, pg_try_advisory_lock($1) as free",
      [lockKey],
    );
    if (rows[0]?.migrated !== true) throw new Error("The service's database is not up to date: npm run migrate.");
    if (!rows[0].free) throw new Error("Another import into this database is running.");
    await work();
  } finally {
    await client.end();
  }
}

async function withSource(url: string, work: (source: Snapshot) => Promise<void>): Promise<void> {
  const source = named(
    await openSnapshot(url).catch((error: unknown) => {
      throw new Error(`--source: cannot connect: ${reasonOf(error)}`);
    }),
  );
  try {
    // Our own lock, held by another connection: then this is our own database, by whatever name.
    const [lock] = await source.query<{ free: boolean }>("select pg_try_advisory_xact_lock($1) as free", [lockKey]);
    if (lock?.free !== true) throw new Error("--source: this is the service's own database.");
    const missing = await missingInSource(source);
    if (missing.length > 0) {
      throw new Error(
        `--source: not the Django service's database, or not readable: ${missing.join(", ")} is missing.`,
      );
    }
    await work(source);
  } finally {
    await source.close().catch(() => undefined);
  }
}

/** Of two databases it is this one that its errors are about. */
const named = (source: Snapshot): Snapshot => ({
  ...source,
  query: async (text, values) => {
    try {
      return await source.query(text, values);
    } catch (error) {
      throw new Error(`--source: ${reasonOf(error)}`, { cause: error });
    }
  },
});

async function readArguments(args: readonly string[]) {
  const option = { type: "string" } as const;
  let values: { source?: string; report?: string };
  try {
    ({ values } = parseArgs({ args: [...args], options: { source: option, report: option }, strict: true }));
  } catch {
    throw new UsageError(usage);
  }
  if (values.source === undefined) throw new UsageError(usage);
  const url = URL.parse(values.source);
  if (!url || !["postgres:", "postgresql:"].includes(url.protocol) || url.pathname.length < 2) {
    throw new UsageError(
      "--source must be postgres://user@host:port/database; other characters than letters and digits percent-encoded.",
    );
  }
  return { url: values.source, report: values.report === undefined ? undefined : await openReport(values.report) };
}

/** Before the work, so that nobody waits for a report that cannot be written. */
async function openReport(path: string): Promise<FileHandle> {
  return await open(path, "w", 0o600).catch((error: unknown) => {
    throw new UsageError(`--report: ${reasonOf(error)}`);
  });
}

/** A host with several addresses fails with an AggregateError, whose message is empty. */
function reasonOf(error: unknown): string {
  if (error instanceof AggregateError) return error.errors.map(reasonOf).join(", ");
  return error instanceof Error ? error.message : String(error);
}
