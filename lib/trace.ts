import { AsyncLocalStorage } from "node:async_hooks";
import { randomBytes } from "node:crypto";

const form = /^00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}$/;
const current = new AsyncLocalStorage<string | undefined>();

export const isTraceparent = (text: unknown): text is string => typeof text === "string" && form.test(text);

/** A caller's `traceparent` (W3C Trace Context), or the start of a trace of our own when it sent none that is valid. */
export const traceparentOf = (header: unknown): string =>
  isTraceparent(header) ? header : `00-${randomBytes(16).toString("hex")}-${randomBytes(8).toString("hex")}-00`;

/** Runs an action within a trace; what it writes into the outbox carries it on to Kafka. */
export const withTrace = <T>(traceparent: string | undefined, work: () => T): T => current.run(traceparent, work);

export const currentTraceparent = (): string | undefined => current.getStore();
