import { Redis } from "ioredis";
import type { Log } from "../../lib/log.ts";
import { keptMs, type AccountCache } from "./account-cache.ts";
import { jsonVersion, readAccount, writeAccount } from "./account-json.ts";
import { Circuit } from "./circuit.ts";

/** PostgreSQL answers about as fast. */
const longestWaitMs = 50;
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
  const redis = new Redis(url, {
    connectTimeout: 1000,
    // Of the handshake; nobody waits for other commands this long.
    commandTimeout: 1000,
    disconnectTimeout: 200,
    retryStrategy: (times) => Math.min(100 * times, 1000),
    // What could not be sent or was not answered is done without, and never sent later: it would be out of date.
    enableOfflineQueue: false,
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: 0,
    disableClientInfo: true,
  });
  // A command that finds no connection does not know why there is none; told once for as long as there is none.
  let isTold = false;
  redis.on("ready", () => (isTold = false));
  redis.on("error", ({ message }: Error) => {
    if (!isTold) log.warn({ reason: message }, "no connection to Redis");
    isTold = true;
  });

  // A connection that takes everything and answers nothing is replaced; what still waits in it is thrown away.
  const reads = new Circuit("reading from Redis", log, () => {
    if (redis.status === "ready") redis.disconnect(true);
  });
  const writes = new Circuit("writing to Redis", log, () => undefined);
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

/** Gives up after a while; not before what has arrived is read: it may be this process that was slow. */
function within<T>(waitMs: number, command: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const giveUp = () => reject(new Error(`no answer within ${waitMs} ms`));
    const timer = setTimeout(() => setImmediate(giveUp), waitMs);
    command.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}
