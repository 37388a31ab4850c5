import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "../../lib/clock.ts";
import { loadConfig } from "../../lib/config.ts";
import { keyRing } from "../../lib/keys.ts";
import { silentLog } from "../../lib/log.ts";
import { system } from "../../lib/principal.ts";
import { openDatabase } from "../../mixins/database/database.ts";
import { migrate } from "../../mixins/database/migrate.ts";
import { embeddedDefaults } from "../../mixins/embedded/defaults.ts";
import { seedAccounts } from "../../scripts/seed/accounts.ts";
import { listUsers } from "../../services/users/list-users.ts";
import type { Row } from "../row.ts";

const users = Number(process.env["BENCH_USERS"] ?? 1_000_000);
const [warmUps, samples] = [3, 200];
const pageSize = 50;

/**
 * A moderator's pages of 50 at a million accounts: any page, filter or search against the first page. The cases take turns,
 * and each has a first page of its own just before, so that a busy machine slows all alike.
 */
export const userList: Row = async (log) => {
  const dataDir = await mkdtemp(join(tmpdir(), "bench-"));
  const base = await embeddedDefaults({ DATA_DIR: dataDir, SERVICES: "users" }, silentLog);
  const config = loadConfig(base.env);
  if (!config.database) throw new Error("no database");
  await migrate(config.database);
  log(`seeding ${users} accounts`);
  await seedAccounts(config.database, users);
  const db = openDatabase(config.database, silentLog, { name: "bench", connections: 2 });
  const cursorKeys = keyRing(config.secrets, "cursor");
  const deps = {
    config,
    db,
    cursorKeys,
    clock: systemClock,
    securityLog: () => undefined,
    reads: { tell: () => undefined },
  };
  const list = (query: object) => listUsers(deps, { limit: pageSize, ...query }, system);
  const timed = async (query: object): Promise<number> => {
    const begin = performance.now();
    await list(query);
    return performance.now() - begin;
  };
  const pageAfter = async (query: object, pages: number): Promise<object> => {
    let after: object = {};
    for (let page = 0; page < pages; page++) {
      const { next } = await list({ ...query, limit: 1000, ...after });
      after = next === null ? {} : { after: next };
    }
    return { ...query, ...after };
  };
  try {
    const cases: Record<string, object> = {
      "page after 50,000": await pageAfter({}, 50),
      "role co": { role: "co" },
      inactive: { is_active: false },
      "inactive couriers": { role: "co", is_active: false },
      "unverified, page after 20,000": await pageAfter({ is_email_verified: false }, 20),
      "search e-mail, 3": { search: "a1b" },
      "search e-mail, 8": { search: "a1b2c3d4" },
      "search first name": { search: "ann" },
      "search first name, page after 20,000": await pageAfter({ search: "ann" }, 20),
      "search last name, umlaut": { search: "mül" },
      "search full name": { search: "Katarzynaaa mü" },
      "search phone": { search: "+48 5012" },
      "search nothing": { search: "zzzzzz" },
      "search inactive managers": { search: "nowak", role: "rm", is_active: false },
    };
    const times = new Map(Object.keys(cases).map((name) => [name, { page: [] as number[], first: [] as number[] }]));
    for (let sample = -warmUps; sample < samples; sample++) {
      for (const [name, query] of Object.entries(cases)) {
        const [first, page] = [await timed({}), await timed(query)];
        if (sample < 0) continue;
        times.get(name)?.first.push(first);
        times.get(name)?.page.push(page);
      }
    }
    const firsts = [...times.values()].flatMap(({ first }) => first);
    const figures = [...times].flatMap(([name, { page, first }]) => [
      { name: `${name} / first page`, value: median(page) / median(first), unit: "ratio of medians", atMost: 2 },
      { name, value: median(page), unit: "ms p50", atMost: 20 },
    ]);
    return [{ name: "first page", value: median(firsts), unit: "ms p50", atMost: 20 }, ...figures];
  } finally {
    await db.close();
    await base.stop();
    await rm(dataDir, { recursive: true, force: true });
  }
};

const median = (values: readonly number[]): number =>
  values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? NaN;
