/** `npm run seed -- --users 1000000`: fills the database of this environment with accounts, for benchmarks. */
import { parseArgs } from "node:util";
import { withDatabase } from "./cli/with-database.ts";
import { seedAccounts } from "./seed/accounts.ts";

const { values } = parseArgs({ options: { users: { type: "string", default: "1000" } } });
const users = Number(values.users);
if (!Number.isInteger(users) || users < 1 || users > 10_000_000) {
  console.error("Usage: npm run seed -- --users N (1 to 10,000,000)");
  process.exit(2);
}
const begin = Date.now();
await withDatabase(async (config) => {
  if (config.production) throw new Error("Seeding is for development: NODE_ENV is production.");
  if (!config.database) throw new Error("no database is configured");
  await seedAccounts(config.database, users);
});
console.log(`${users} accounts in ${((Date.now() - begin) / 1000).toFixed(1)} s`);
