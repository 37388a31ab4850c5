import { silentLog } from "../../lib/log.ts";
import { startEmbeddedPostgres } from "../../mixins/embedded/postgres.ts";

/** Another process for embedded.test.ts: holds a share of the database in argv[2] until its input ends. */
const dataDir = process.argv[2] ?? "";
const postgres = await startEmbeddedPostgres({
  dataDir,
  database: "identity",
  log: silentLog,
  settings: ["fsync=off"],
});
process.stdout.write(`${postgres.port}\n`);
process.stdin.resume().on("end", () => void postgres.stop());
