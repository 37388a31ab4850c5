import { Redis } from "ioredis";
import type { Log } from "../../lib/log.ts";
import type { ClientTls } from "../../lib/tls-files.ts";

export type { Redis };

/** PostgreSQL answers about as fast. */
export const longestWaitMs = 50;

/**
 * A connection for what can be done without Redis: it never holds anybody up, and Redis may be away.
 * @param tls over TLS, beside what a URL with rediss:// says
 */
export function openRedis(url: string, log: Log, tls?: ClientTls): Redis {
  const redis = new Redis(url, {
    ...(tls && { tls }),
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
  return redis;
}

/** A connection that takes everything and answers nothing is replaced; what still waits in it is thrown away. */
export function replaceConnection(redis: Redis): void {
  if (redis.status === "ready") redis.disconnect(true);
}

/** Gives up after a while; not before what has arrived is read: it may be this process that was slow. */
export function within<T>(waitMs: number, command: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const giveUp = () => reject(new Error(`no answer within ${waitMs} ms`));
    const timer = setTimeout(() => setImmediate(giveUp), waitMs);
    command.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}
