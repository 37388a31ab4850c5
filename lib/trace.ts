import { AsyncLocalStorage } from "node:async_hooks";
import { randomFillSync } from "node:crypto";

const form = /^00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}$/;
const current = new AsyncLocalStorage<string | undefined>();

export const isTraceparent = (text: unknown): text is string => typeof text === "string" && form.test(text);

/** A caller's `traceparent` (W3C Trace Context), or the start of a trace of our own when it sent none that is valid. */
export const traceparentOf = (header: unknown): string =>
  isTraceparent(header) ? header : `00-${randomHex(16)}-${randomHex(8)}-00`;

/** Drawn for many requests at once: asking for a few bytes costs as much as asking for many. */
const pool = Buffer.alloc(24 * 200);
let used = pool.length;
function randomHex(bytes: number): string {
  if (used + bytes > pool.length) {
    randomFillSync(pool);
    used = 0;
  }
  used += bytes;
  return pool.toString("hex", used - bytes, used);
}

/** Runs an action within a trace; what it writes into the outbox carries it on to Kafka. */
export const withTrace = <T>(traceparent: string | undefined, work: () => T): T => current.run(traceparent, work);

export const currentTraceparent = (): string | undefined => current.getStore();
