import { RateLimiterRedis } from "rate-limiter-flexible";
import type { Log } from "../../../../lib/log.ts";
import { Circuit } from "../../../../mixins/redis/circuit.ts";
import { longestWaitMs, openRedis, replaceConnection, within } from "../../../../mixins/redis/redis.ts";
import { asked, countOf, type Counters } from "./counters.ts";

/** What has expired meanwhile does not become a credit. */
const takeOne = `if tonumber(redis.call("get", KEYS[1]) or "0") > 0 then redis.call("decr", KEYS[1]) end`;

/**
 * In Redis, and in `otherwise` while Redis is away or slow: nobody waits longer than 50 ms for it. What was counted in one is
 * not known in the other, so a change of place gives everybody his whole budget once more.
 */
export function redisCounters(url: string, log: Log, otherwise: Counters, waitMs = longestWaitMs): Counters {
  const redis = openRedis(url, log);
  const limiter = new RateLimiterRedis({
    storeClient: redis,
    rejectIfRedisNotReady: true,
    keyPrefix: "identity:attempts",
    ...asked,
  });
  const circuit = new Circuit("counting in Redis", "in PostgreSQL", log, () => replaceConnection(redis));
  const attempt = <T>(work: () => Promise<T>): Promise<{ readonly done: T } | undefined> =>
    circuit.attempt(async () => ({ done: await within(waitMs, work()) }));

  return {
    add: async (key, seconds) => {
      const counted = await attempt(() => limiter.penalty(key, 1, { customDuration: seconds }));
      return counted ? countOf(counted.done) : await otherwise.add(key, seconds);
    },
    set: async (key, count, seconds) => {
      if (!(await attempt(() => limiter.set(key, count, seconds)))) await otherwise.set(key, count, seconds);
    },
    settle: async (what) => {
      const { forget = [], takeBack = [] } = what;
      const forgotten = forget.map((key) => limiter.getKey(key));
      const settled = await attempt(() =>
        Promise.all([
          ...(forgotten.length > 0 ? [redis.del(forgotten)] : []),
          ...takeBack.map((key) => redis.eval(takeOne, 1, limiter.getKey(key))),
        ]),
      );
      if (!settled) await otherwise.settle(what);
    },
    close: () => {
      redis.disconnect();
      otherwise.close();
    },
  };
}
