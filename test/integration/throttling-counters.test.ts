import { afterAll, afterEach, beforeAll, describe, expect, test } from "@jest/globals";
import { randomUUID } from "node:crypto";
import { setTimeout as pause } from "node:timers/promises";
import { Redis } from "ioredis";
import { loadConfig } from "../../lib/config.ts";
import { silentLog, type Log } from "../../lib/log.ts";
import { openDatabase, type Database } from "../../mixins/database/database.ts";
import { sweep } from "../../services/auth/sweep.repository.ts";
import type { Counters } from "../../services/auth/throttling/counters/counters.ts";
import { redisCounters } from "../../services/auth/throttling/counters/redis-counters.ts";
import { sqlCounters } from "../../services/auth/throttling/counters/sql-counters.repository.ts";
import { eventually } from "../support/eventually.ts";
import { describeWithRedis, startRedis, type RunningRedis } from "../support/redis.ts";
import { createStand, type TestStand } from "../support/service.ts";
import { startTcpProxy, type TcpProxy } from "../support/tcp-proxy.ts";
import { memoryLog } from "../unit/helpers.ts";

let stand: TestStand;
let db: Database;
let other: Database;
beforeAll(async () => {
  stand = await createStand();
  const { database } = loadConfig(stand.env);
  const open = (name: string) => openDatabase(database!, silentLog, { name, connections: 4 });
  [db, other] = [open("one"), open("other")];
});
afterAll(async () => {
  await Promise.all([db.close(), other.close()]);
  await stand.stop();
});
const opened: Counters[] = [];
afterEach(() => {
  for (const counters of opened.splice(0)) counters.close();
});
const patient = 900;
const inRedis = (url: string, log: Log = silentLog, waitMs?: number): Counters => {
  const counters = redisCounters(url, log, sqlCounters(db), waitMs);
  opened.push(counters);
  return counters;
};
const rowsOf = (key: string) => stand.query<{ points: number }>("select points from attempts where key = $1", [key]);

/** What holds wherever is counted: two nodes, `one` and `two`. */
function countsTogether(nodes: () => readonly [Counters, Counters] | Promise<readonly [Counters, Counters]>): void {
  test("100 at once on two nodes: each gets a number of its own, from 1 to 100", async () => {
    const [one, two] = await nodes();
    const key = randomUUID();
    const counted = await Promise.all(Array.from({ length: 100 }, (_, nth) => (nth % 2 ? one : two).add(key, 60)));
    expect(counted.map(({ count }) => count).toSorted((a, b) => a - b)).toEqual(counted.map((_, index) => index + 1));
    for (const { resetMs } of counted) expect(Math.ceil(resetMs / 60_000)).toBe(1);
  });

  test("the time begins with the first one and is not prolonged", async () => {
    const [one] = await nodes();
    const key = randomUUID();
    const first = await one.add(key, 60);
    const second = await one.add(key, 3600);
    expect(second.resetMs).toBeLessThanOrEqual(first.resetMs);
  });

  test("when it is over, it begins with 1", async () => {
    const [one, two] = await nodes();
    const key = randomUUID();
    await one.add(key, 1);
    await two.add(key, 1);
    await eventually("it is over", async () => ((await one.add(key, 1)).count === 1 ? true : undefined));
  });

  test("set: so many for so long, from now on", async () => {
    const [one, two] = await nodes();
    const key = randomUUID();
    await one.add(key, 60);
    await one.set(key, 6, 3600);
    const { count, resetMs } = await two.add(key, 60);
    expect([count, Math.ceil(resetMs / 3_600_000)]).toEqual([7, 1]);
  });

  test("settled: some begin anew and one is taken off others, for both nodes", async () => {
    const [one, two] = await nodes();
    const [forgotten, too, kept] = [randomUUID(), randomUUID(), randomUUID()];
    for (const key of [forgotten, too, kept, kept, kept]) await one.add(key, 60);
    await two.settle({ forget: [forgotten, too], takeBack: [kept] });
    const counts = [await one.add(forgotten, 60), await two.add(too, 60), await two.add(kept, 60)];
    expect(counts.map(({ count }) => count)).toEqual([1, 1, 3]);
    await one.settle({});
  });

  test("what is taken off nothing is no credit", async () => {
    const [one, two] = await nodes();
    const [never, used] = [randomUUID(), randomUUID()];
    await one.add(used, 60);
    for (const counters of [one, two]) await counters.settle({ takeBack: [never, used] });
    expect([(await two.add(never, 60)).count, (await one.add(used, 60)).count]).toEqual([1, 1]);
  });
}

describe("counters in PostgreSQL", () => {
  countsTogether(() => [sqlCounters(db), sqlCounters(other)]);

  test("what is over is swept, in batches; what is not stays", async () => {
    const key = randomUUID();
    await sqlCounters(db).add(key, 60);
    await stand.query("insert into attempts select 'old-' || n, 1, 1 from generate_series(1, 1500) n");
    expect(await sweep(db, 400 * 24 * 60 * 60)).toBe("more");
    expect(await sweep(db, 400 * 24 * 60 * 60)).toBe("done");
    expect(await stand.query("select key from attempts where key like 'old-%'")).toEqual([]);
    expect(await rowsOf(key)).toEqual([{ points: 1 }]);
  });

  test("the table is not logged: a count waits for no disk", async () => {
    expect(await stand.query("select relpersistence from pg_class where relname = 'attempts'")).toEqual([
      { relpersistence: "u" },
    ]);
  });
});

describeWithRedis("counters in Redis", () => {
  let redis: RunningRedis;
  let raw: Redis;
  let proxy: TcpProxy;
  beforeAll(async () => {
    redis = await startRedis();
    raw = new Redis(redis.url);
    proxy = await startTcpProxy({ host: "127.0.0.1", port: redis.port });
  });
  afterAll(async () => {
    raw.disconnect();
    await proxy.stop();
    await redis.stop();
  });
  const isCounted = (key: string) => raw.exists(`identity:attempts:${key}`);
  const connected = (counters: Counters) =>
    eventually("it counts in Redis", async () => {
      const probe = randomUUID();
      await counters.add(probe, 60);
      return (await isCounted(probe)) === 1 ? true : undefined;
    });
  const open = async (url: string, log?: Log, waitMs?: number) => {
    const counters = inRedis(url, log, waitMs);
    await connected(counters);
    return counters;
  };
  countsTogether(async () => [await open(redis.url, silentLog, patient), await open(redis.url, silentLog, patient)]);

  test("every key ends by itself, and PostgreSQL hears of none", async () => {
    const counters = await open(redis.url, silentLog, patient);
    const keys = [randomUUID(), randomUUID(), randomUUID()] as const;
    await counters.add(keys[0], 60);
    await counters.set(keys[1], 6, 60);
    await counters.settle({ takeBack: [keys[2]] });
    const all = await raw.keys("identity:attempts:*");
    expect((await Promise.all(all.map((key) => raw.pttl(key)))).filter((ms) => ms === -1)).toEqual([]);
    for (const key of keys) expect(await rowsOf(key)).toEqual([]);
  });

  test.each(["refusing", "black-holed"])(
    "%s: PostgreSQL counts, nobody waits longer than 50 ms, and it comes back",
    async (how) => {
      await proxy.restore();
      const log = memoryLog();
      const counters = await open(`redis://127.0.0.1:${proxy.port}`, log);
      if (how === "refusing") await proxy.refuse();
      else proxy.blackhole();
      const key = randomUUID();
      /** Than 50 ms and PostgreSQL take beside it: a machine that is busy keeps both waiting. */
      const longer: number[] = [];
      await eventually("Redis is left alone", async () => {
        const begin = performance.now();
        const took = () => performance.now() - begin;
        const alone = pause(50).then(() => rowsOf(key));
        const [wait, necessary] = await Promise.all([counters.add(key, 60).then(took), alone.then(took)]);
        longer.push(wait - necessary);
        return log.lines.some(({ message }) => message.startsWith("counting in Redis fails")) ? true : undefined;
      });
      expect(Math.max(...longer)).toBeLessThan(200);
      expect(await rowsOf(key)).toEqual([{ points: longer.length }]);
      await counters.set(key, 6, 60);
      await counters.settle({ takeBack: [key] });
      expect(await rowsOf(key)).toEqual([{ points: 5 }]);
      expect(log.lines.filter(({ message }) => message.startsWith("counting")).map(({ message }) => message)).toEqual([
        "counting in Redis fails: it goes on in PostgreSQL",
      ]);
      await proxy.restore();
      await connected(counters);
    },
  );

  test("not there at the start: PostgreSQL counts", async () => {
    await proxy.refuse();
    const key = randomUUID();
    expect((await inRedis(`redis://127.0.0.1:${proxy.port}`).add(key, 60)).count).toBe(1);
    expect(await rowsOf(key)).toEqual([{ points: 1 }]);
    await proxy.restore();
  });
});
