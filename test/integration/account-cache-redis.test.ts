import { once } from "node:events";
import { connect, createServer, type AddressInfo, type Socket } from "node:net";
import { afterAll, afterEach, beforeAll, expect, jest, test } from "@jest/globals";
import { Redis } from "ioredis";
import { silentLog, type Log } from "../../lib/log.ts";
import type { AccountCache } from "../../mixins/account-cache/account-cache.ts";
import { AccountReader } from "../../mixins/account-cache/account-reader.ts";
import { redisCache } from "../../mixins/account-cache/redis-cache.ts";
import { eventually } from "../support/eventually.ts";
import { describeWithRedis, startRedis, type RunningRedis } from "../support/redis.ts";
import { startService } from "../support/service.ts";
import { startTcpProxy, type TcpProxy } from "../support/tcp-proxy.ts";
import { account } from "../unit/mixins/account-cache/accounts.ts";
import { memoryLog } from "../unit/helpers.ts";

let nextId = 1;
const newId = (): number => nextId++;
const opened: AccountCache[] = [];
function openCache(url: string, log: Log = silentLog, waitMs?: number): AccountCache {
  const cache = redisCache(url, log, waitMs);
  opened.push(cache);
  return cache;
}
afterEach(() => {
  for (const cache of opened.splice(0)) cache.close();
});

/** Kept and got again: it works. */
const works = (cache: AccountCache) =>
  eventually("the cache works", async () => {
    const probe = account({ id: newId() });
    await cache.put(probe);
    return (await cache.get(probe.id)) && true;
  });
/** For what is not about time: a busy machine may need longer than a request waits. */
const patient = 900;
/** How long it took, in ms. */
async function timed(work: () => Promise<unknown>): Promise<number> {
  const begin = performance.now();
  await work();
  return performance.now() - begin;
}
const keyOf = (id: number) => `identity:account:1:{${id}}`;

describeWithRedis("Redis cache: two nodes on one Redis", () => {
  let redis: RunningRedis;
  let raw: Redis;
  let one: AccountCache;
  let other: AccountCache;
  beforeAll(async () => {
    redis = await startRedis();
    raw = new Redis(redis.url);
  });
  afterAll(async () => {
    raw.disconnect();
    await redis.stop();
  });
  const openBoth = async () => {
    [one, other] = [openCache(redis.url, silentLog, patient), openCache(redis.url, silentLog, patient)];
    await Promise.all([works(one), works(other)]);
  };

  test("what one keeps the other gets, as it was", async () => {
    await openBoth();
    const kept = account({ id: newId(), lastLogin: new Date("2026-03-14T08:30:00.123Z") });
    await one.put(kept);
    expect(await other.get(kept.id)).toEqual(kept);
    expect(await other.get(newId())).toBeUndefined();
  });

  test("something older does not replace something newer", async () => {
    await openBoth();
    const id = newId();
    await one.put(account({ id, revision: 5 }));
    await other.put(account({ id, revision: 4, email: "old@example.com" }));
    expect(await one.get(id)).toEqual(account({ id, revision: 5 }));
    await other.put(account({ id, revision: 10 }));
    expect((await one.get(id))?.revision).toBe(10);
  });

  test("cleared by one: gone for both, and what was read before comes back from neither", async () => {
    await openBoth();
    const id = newId();
    await one.put(account({ id, revision: 5 }));
    await other.outdated(id, 6);
    expect(await one.get(id)).toBeUndefined();
    for (const cache of [one, other]) await cache.put(account({ id, revision: 5 }));
    expect(await one.get(id)).toBeUndefined();
    await one.put(account({ id, revision: 6 }));
    expect((await other.get(id))?.revision).toBe(6);
  });

  test("cleared, filled and expired: what was read before all that still does not come back", async () => {
    await openBoth();
    const id = newId();
    await one.outdated(id, 6);
    await one.put(account({ id, revision: 6 }));
    await raw.del(keyOf(id));
    await other.put(account({ id, revision: 5 }));
    expect(await one.get(id)).toBeUndefined();
  });

  test("cleared once more by every other node: what was filled meanwhile stays", async () => {
    await openBoth();
    const id = newId();
    await one.outdated(id, 6);
    await one.put(account({ id, revision: 6 }));
    await other.outdated(id, 6);
    await other.outdated(id, 5);
    expect((await one.get(id))?.revision).toBe(6);
  });

  test("personal data leaves Redis after 5 s, and the revision after a minute", async () => {
    await openBoth();
    const id = newId();
    await one.put(account({ id }));
    await one.outdated(newId(), 4);
    const left = await Promise.all([raw.pttl(keyOf(id)), raw.pttl(`${keyOf(id)}:least`)]);
    expect(left.map((ms) => Math.ceil(ms / 1000))).toEqual([5, 60]);
    const keys = await raw.keys("*");
    const times = await Promise.all(keys.map((key) => raw.pttl(key)));
    expect(times.filter((ms) => ms === -1)).toEqual([]);
    expect(await raw.get(`${keyOf(id)}:least`)).toBe("3");
  });

  test.each([
    ["no JSON", "nonsense"],
    ["another format", '{"name":"Anna"}'],
    ["somebody else's account", JSON.stringify(account({ id: 999_999 }))],
  ])("unreadable, %s: a miss, and the next one that is read replaces it", async (_, value) => {
    await openBoth();
    const id = newId();
    await raw.set(keyOf(id), value, "PX", 5000);
    expect(await one.get(id)).toBeUndefined();
    await one.put(account({ id }));
    expect(await one.get(id)).toEqual(account({ id }));
  });

  test("a key of another type: a miss, not an error", async () => {
    await openBoth();
    const id = newId();
    await raw.lpush(keyOf(id), "a");
    await raw.pexpire(keyOf(id), 5000);
    expect(await one.get(id)).toBeUndefined();
  });

  test("16 readers and 4 writers of one account on two nodes: nobody reads what was changed before he asked", async () => {
    await openBoth();
    const id = newId();
    const state = { revision: 1, done: false };
    // A database whose reads take between 0 and 4 ms, and answer what was there at their beginning.
    const read = async () => {
      const seen = account({ id, revision: state.revision });
      await new Promise((resolve) => setTimeout(resolve, seen.revision % 5));
      return seen;
    };
    const readers = [new AccountReader(one, read), new AccountReader(other, read)];
    const stale: number[] = [];
    const reading = Array.from({ length: 16 }, async (_, index) => {
      while (!state.done) {
        const asked = state.revision;
        const found = await readers[index % 2]?.find(id);
        if (found && found.revision < asked) stale.push(asked - found.revision);
        // Redis answers in one turn of the event loop: the writers must get theirs.
        await new Promise((resolve) => setImmediate(resolve));
      }
    });
    const writing = Array.from({ length: 4 }, async () => {
      for (let change = 0; change < 100; change++) {
        const revision = ++state.revision;
        for (const reader of readers) reader.changed(id, revision);
        await new Promise((resolve) => setTimeout(resolve, 2));
      }
    });
    await Promise.all(writing);
    state.done = true;
    await Promise.all(reading);
    expect(stale).toEqual([]);
    expect((await readers[0]?.find(id))?.revision).toBe(401);
    expect((await readers[1]?.find(id))?.revision).toBe(401);
  });
});

describeWithRedis("Redis cache: a password", () => {
  const password = "a-redis-password";
  let redis: RunningRedis;
  beforeAll(async () => {
    redis = await startRedis("--requirepass", password);
  });
  afterAll(() => redis.stop());
  const url = (given: string) => `redis://:${given}@127.0.0.1:${redis.port}`;

  test("the right one", async () => {
    await works(openCache(url(password)));
  });

  test.each(["another-redis-password", ""])("a wrong one, %j: no cache, told once and without it", async (given) => {
    const log = memoryLog();
    const cache = openCache(url(given), log);
    await eventually("it is given up", async () => {
      await cache.put(account());
      expect(await cache.get(7)).toBeUndefined();
      return log.lines.length >= 3 ? true : undefined;
    });
    expect(log.lines.map(({ level, message }) => [level, message]).toSorted()).toEqual([
      ["warn", "no connection to Redis"],
      ["warn", "reading from Redis fails: it goes on without the cache"],
      ["warn", "writing to Redis fails: it goes on without the cache"],
    ]);
    expect(log.text()).toMatch(/WRONGPASS|NOAUTH/);
    expect(log.text()).not.toContain("redis-password");
  });
});

describeWithRedis("Redis cache: Redis in trouble", () => {
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
  const throughProxy = async (log?: Log, waitMs?: number) => {
    await proxy.restore();
    const cache = openCache(`redis://127.0.0.1:${proxy.port}`, log, waitMs);
    await works(cache);
    return cache;
  };
  /** Of reading and writing. A connection that is made and lost again while it heals is told as well. */
  const toldBy = ({ lines }: ReturnType<typeof memoryLog>) =>
    lines
      .map(({ message }) => message)
      .filter((message) => message !== "no connection to Redis")
      .toSorted();
  const troubles = {
    refusing: () => proxy.refuse(),
    "black-holed": () => {
      proxy.blackhole();
      return Promise.resolve();
    },
    // Answers nobody; connections stay.
    stopped: async () => {
      await raw.call("client", "pause", "1500", "all");
    },
  };

  test.each(Object.keys(troubles) as (keyof typeof troubles)[])(
    "%s: nobody waits longer than 50 ms, soon nobody waits at all, and it comes back by itself",
    async (trouble) => {
      const log = memoryLog();
      const cache = await throughProxy(log);
      log.lines.splice(0);
      const id = newId();
      await cache.put(account({ id }));
      await troubles[trouble]();

      const waits: number[] = [];
      await eventually("Redis is left alone", async () => {
        waits.push(await timed(async () => expect(await cache.get(id)).toBeUndefined()));
        await Promise.all([cache.put(account({ id })), cache.outdated(id, 4)]);
        return toldBy(log).length >= 2 ? true : undefined;
      });
      // 50 ms, and what a busy machine adds to a timer.
      expect(Math.max(...waits)).toBeLessThan(200);
      const alone = await timed(async () => {
        for (let each = 0; each < 50; each++) await cache.get(id);
      });
      expect(alone).toBeLessThan(100);
      expect(toldBy(log)).toEqual([
        "reading from Redis fails: it goes on without the cache",
        "writing to Redis fails: it goes on without the cache",
      ]);

      if (trouble !== "stopped") await proxy.restore();
      const healed = await timed(() => works(cache));
      expect(healed).toBeLessThan(5000);
      expect(toldBy(log).filter((message) => message.endsWith("works again"))).toEqual([
        "reading from Redis works again",
        "writing to Redis works again",
      ]);
      expect(log.lines.filter(({ message }) => message === "no connection to Redis").length).toBeLessThan(3);
    },
  );

  test("a cut connection: back at once, and nothing that was on its way is sent later", async () => {
    const cache = await throughProxy();
    const id = newId();
    proxy.blackhole();
    // These two are lost with the connection.
    await Promise.all([cache.put(account({ id, revision: 5 })), cache.outdated(id, 6)]);
    await proxy.restore();
    expect(await timed(() => works(cache))).toBeLessThan(3000);
    expect(await raw.exists(keyOf(id), `${keyOf(id)}:least`)).toBe(0);
  });

  test("a connection that has gone silent (its host is no more): another one takes its place", async () => {
    const near: Socket[] = [];
    const server = createServer((socket) => {
      near.push(socket.on("error", () => undefined));
      socket.pipe(connect(redis.port, "127.0.0.1")).pipe(socket);
    });
    await once(server.listen(0, "127.0.0.1"), "listening");
    const { port } = server.address() as AddressInfo;
    const cache = openCache(`redis://127.0.0.1:${port}`);
    await works(cache);
    for (const socket of near) socket.unpipe();
    const first = near.length;
    expect(await cache.get(newId())).toBeUndefined();
    await works(cache);
    expect(near.length).toBeGreaterThan(first);
    cache.close();
    for (const socket of near) socket.destroy();
    server.close();
  });

  test("not there at the start: the node starts, and uses it when it comes", async () => {
    await proxy.refuse();
    const cache = openCache(`redis://127.0.0.1:${proxy.port}`);
    expect(await cache.get(7)).toBeUndefined();
    await proxy.restore();
    await works(cache);
  });

  test("it takes nothing (out of memory): reading goes on, told once", async () => {
    const log = memoryLog();
    const cache = await throughProxy(log, patient);
    log.lines.splice(0);
    const id = newId();
    await cache.put(account({ id }));
    await raw.config("SET", "maxmemory", "1");
    try {
      await eventually("writing is given up", async () => {
        await cache.put(account({ id: newId() }));
        return log.lines.length > 0 ? true : undefined;
      });
      await cache.put(account({ id: newId() }));
      expect(await cache.get(id)).toEqual(account({ id }));
      expect(log.lines).toEqual([
        {
          level: "warn",
          fields: { reason: expect.stringContaining("OOM") },
          message: "writing to Redis fails: it goes on without the cache",
        },
      ]);
    } finally {
      await raw.config("SET", "maxmemory", "0");
    }
    await works(cache);
  });

  test("a clear that Redis was not told: the node that knows of it does not serve what Redis still holds", async () => {
    const cache = await throughProxy(silentLog, patient);
    const id = newId();
    const before = account({ id, revision: 5 });
    const after = account({ id, revision: 6 });
    await cache.put(before);
    const read = jest.fn(() => Promise.resolve(after));
    const reader = new AccountReader(cache, read);
    expect(await reader.find(id)).toEqual(before);
    proxy.blackhole();
    reader.changed(id, 6);
    await proxy.restore();
    await works(cache);
    // Nobody told Redis: another node could still get it from there, for 5 s at most.
    await raw.set(keyOf(id), JSON.stringify(before), "PX", 5000);
    expect(await reader.find(id)).toEqual(after);
    expect(read).toHaveBeenCalledTimes(1);
  });
});

describeWithRedis("readiness", () => {
  test("Redis away and back: degraded, since views are only slower, and ok", async () => {
    const redis = await startRedis();
    const proxy = await startTcpProxy({ host: "127.0.0.1", port: Number(new URL(redis.url).port) });
    const service = await startService({ REDIS_URL: `redis://127.0.0.1:${proxy.port}` });
    const becomes = (status: string) =>
      eventually(`readiness says ${status}`, async () => {
        const answer = await service.client().get("/health/ready");
        const { checks } = answer.json() as { checks: Record<string, string> };
        expect([answer.status, checks["database"]]).toEqual([200, "ok"]);
        return checks["redis"] === status ? true : undefined;
      });
    try {
      await becomes("ok");
      for (const trouble of ["refuse", "blackhole"] as const) {
        await proxy[trouble]();
        await becomes("degraded");
        await proxy.restore();
        await becomes("ok");
      }
    } finally {
      await service.stop();
      await proxy.stop();
      await redis.stop();
    }
  });
});
