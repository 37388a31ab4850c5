import type { Log } from "../../lib/log.ts";
import { Circuit } from "../redis/circuit.ts";
import { longestWaitMs, openRedis, replaceConnection, within } from "../redis/redis.ts";
import { keptMs, type AccountCache } from "./account-cache.ts";
import { jsonVersion, readAccount, writeAccount } from "./account-json.ts";

/** How long the least revision is remembered: a broken network may deliver late what was sent before a change. */
const rememberMs = 60_000;

/**
 * KEYS: the least revision that counts, and the account. ARGV: a revision, and its account, or nothing: it is outdated.
 * All nodes write here, so what an older one read must be refused here, also after the account itself has expired.
 */
const keepNewest = `
local revision, account = tonumber(ARGV[1]), ARGV[2]
local least = tonumber(redis.call("get", KEYS[1]) or "-1")
if revision < least then return end
if revision > least then redis.call("set", KEYS[1], ARGV[1], "px", ${rememberMs}) end
if account ~= "" then redis.call("set", KEYS[2], account, "px", ${keptMs})
elseif revision > least then redis.call("del", KEYS[2]) end`;

/**
 * Shared by all nodes, which are all told of a change as well: clearing twice is no different from clearing once.
 * @param waitMs the longest that a request waits for Redis
 */
export function redisCache(url: string, log: Log, waitMs = longestWaitMs): AccountCache {
  const redis = openRedis(url, log);
  const reads = new Circuit("reading from Redis", "without the cache", log, () => replaceConnection(redis));
  const writes = new Circuit("writing to Redis", "without the cache", log, () => undefined);
  const keys = (id: number) => {
    const key = `identity:account:${jsonVersion}:{${id}}`;
    return [`${key}:least`, key] as const;
  };
  const keep = async (id: number, revision: number, account: string): Promise<void> => {
    await writes.attempt(() => within(waitMs, redis.eval(keepNewest, 2, ...keys(id), revision, account)));
  };

  return {
    get: async (id) => {
      const json = await reads.attempt(() => within(waitMs, redis.get(keys(id)[1])));
      const account = typeof json === "string" ? readAccount(json) : undefined;
      return account?.id === id ? account : undefined;
    },
    put: (account) => keep(account.id, account.revision, writeAccount(account)),
    outdated: (id, revision) => keep(id, revision, ""),
    works: () =>
      within(waitMs, redis.ping()).then(
        () => true,
        () => false,
      ),
    close: () => redis.disconnect(),
  };
}
