import { createRequire } from "node:module";
import { connect as connectTcp, isIP, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import { Kafka, logLevel, type KafkaConfig, type LogEntry, type SASLOptions } from "kafkajs";
import type { Log } from "../../lib/log.ts";
import type { KafkaSettings } from "./kafka-settings.ts";

export type { EachBatchPayload, KafkaMessage as KafkajsMessage } from "kafkajs";

/**
 * - `unreachable`: no broker answers, or the answer is that nothing can be taken at the moment.
 * - `deadline`: no answer in time; what was sent may have arrived.
 * - `authentication`: user, password or mechanism are refused. - `closed`: by us.
 * - `unknown_topic`, `unknown_partition`: it is not there, and is not created by asking.
 * - `refused`: the broker answered no (not authorised, message too large ...); `message` says what.
 */
export type KafkaFailure =
  "unreachable" | "deadline" | "authentication" | "unknown_topic" | "unknown_partition" | "refused" | "closed";

export class KafkaError extends Error {
  readonly code: KafkaFailure;

  constructor(code: KafkaFailure, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "KafkaError";
    this.code = code;
  }
}

/** One kafkajs client whose sockets are ours: kafkajs itself waits for ever on a peer that no longer answers. */
export interface KafkaClient {
  readonly kafka: Kafka;
  /** Rejects with a KafkaError when the work fails, the deadline (ms since the epoch) passes or the client is destroyed. */
  within<T>(deadline: number, work: () => Promise<T>): Promise<T>;
  /** Cuts all connections at once and for good; whatever is waiting rejects. */
  destroy(reason?: KafkaError): void;
}

/** @param options.retries of what fails: 5 take 2.5 s in sum */
export function openClient(
  settings: KafkaSettings,
  log: Log,
  deadlineMs: number,
  { retries = 5 }: { readonly retries?: number } = {},
): KafkaClient {
  const sockets = new Set<Socket>();
  const destroyed = Promise.withResolvers<never>();
  destroyed.promise.catch(() => undefined);
  let isDestroyed = false;
  let lastError: string | undefined;

  const kafka = new Kafka({
    clientId: "identity",
    brokers: [...settings.brokers],
    ...security(settings),
    connectionTimeout: Math.min(3000, deadlineMs),
    authenticationTimeout: deadlineMs,
    requestTimeout: deadlineMs,
    // All of it is said here, since kafkajs has other defaults when NODE_ENV is "test".
    retry: { initialRetryTime: 100, maxRetryTime: 1000, retries, factor: 0.2, multiplier: 2 },
    socketFactory: ({ host, port, ssl, onConnect }) => {
      if (isDestroyed) throw new Error("the client is closed");
      const socket = settings.ssl
        ? connectTls({ host, port, ...(isIP(host) ? {} : { servername: host }), ...ssl }, onConnect)
        : connectTcp({ host, port }, onConnect);
      sockets.add(socket.once("close", () => sockets.delete(socket)));
      return socket.setNoDelay(true).setKeepAlive(true, 60_000);
    },
    logLevel: logLevel.INFO,
    logCreator: () => (entry) => {
      if (isDestroyed) return;
      if (entry.level === logLevel.ERROR) lastError = entry.log.message;
      relayLog(log, entry);
    },
  });

  return {
    kafka,
    async within(deadline, work) {
      const late = Promise.withResolvers<never>();
      const timer = setTimeout(() => {
        const hint = lastError === undefined ? "" : ` (last error: ${lastError})`;
        late.reject(new KafkaError("deadline", `Kafka did not answer in time${hint}`));
      }, deadline - Date.now());
      try {
        return await Promise.race([work(), late.promise, destroyed.promise]);
      } catch (error) {
        throw toKafkaError(error);
      } finally {
        clearTimeout(timer);
      }
    },
    destroy(reason = new KafkaError("closed", "the connection to Kafka was closed")) {
      isDestroyed = true;
      destroyed.reject(reason);
      // With an error: kafkajs listens to "end" and "error" but not to "close", and would keep the requests waiting.
      for (const socket of sockets) socket.destroy(reason);
    },
  };
}

/** A new object every time: kafkajs keeps its authenticator in the `sasl` object that it is given. */
function security({ user, password, mechanism, ssl }: KafkaSettings): Pick<KafkaConfig, "sasl" | "ssl"> {
  return {
    ...(user !== undefined && { sasl: { mechanism, username: user, password: password ?? "" } as SASLOptions }),
    ...(ssl && { ssl }),
  };
}

/**
 * What kafkajs says is a "debug" line (six for every three seconds that a broker is away): what became of the work is
 * reported by whoever asked for it, with the last cause. Only named fields pass, and the level stays at INFO (but for
 * KAFKAJS_LOG_LEVEL): no request, and so no credential, is logged.
 */
function relayLog(log: Log, { namespace, log: entry }: LogEntry): void {
  const names = ["broker", "groupId", "topic", "partition", "offset", "retryCount", "retryTime", "error"];
  const fields = names.filter((name) => entry[name] !== undefined).map((name) => [name, String(entry[name])]);
  log.debug({ kafkajs: namespace, ...Object.fromEntries(fields) }, entry.message);
}

interface ErrorLike {
  readonly name?: unknown;
  readonly message?: unknown;
  readonly type?: unknown;
  readonly retriable?: unknown;
  readonly cause?: unknown;
  readonly errors?: readonly unknown[];
}

export function toKafkaError(error: unknown): KafkaError {
  if (error instanceof KafkaError) return error;
  const causes = [...causesOf(error)];
  const messages = causes.map(({ message }) => String(message));
  return new KafkaError(codeOf(causes), [...new Set(messages)].join(": "), { cause: error });
}

/** kafkajs wraps: "retries exceeded" around "connection error"; several topics refused are an aggregate. */
function* causesOf(error: unknown): Generator<ErrorLike> {
  for (let at = error, depth = 0; typeof at === "object" && at !== null && depth < 8; depth++) {
    const current: ErrorLike = at;
    yield current;
    at = current.cause ?? current.errors?.[0];
  }
}

function codeOf(causes: readonly ErrorLike[]): KafkaFailure {
  const words = new Set(causes.flatMap(({ name, type }) => [name, type]));
  if (words.has("KafkaJSSASLAuthenticationError") || words.has("UNSUPPORTED_SASL_MECHANISM")) return "authentication";
  if (words.has("UNKNOWN_TOPIC_OR_PARTITION") || words.has("INVALID_TOPIC_EXCEPTION")) return "unknown_topic";
  if (words.has("KafkaJSCreateTopicError")) return "refused";
  // Too few replicas, no leader yet: true for every message, and it passes.
  const answer = causes.find(({ name }) => name === "KafkaJSProtocolError");
  if (answer && answer.retriable !== true) return "refused";
  return "unreachable";
}

/**
 * kafkajs 2.2.4 on Node 24: with nothing pending and no throttling, `scheduleAt` is `-1 - Date.now()`; Node makes a
 * negative delay 1 ms, and the check arms itself again: a timer per connection that fires every millisecond for ever.
 * An idle producer used 274 to 308 ms of CPU per 8 s; with this 15 to 19 ms (Node 24.21, 2 cores; test: kafka.test.ts).
 * The check is only needed while a request is pending (`push` arms it), so that is when it may run.
 */
function stopIdleTimer(): void {
  const queue: unknown = createRequire(import.meta.url)("kafkajs/src/network/requestQueue/index.js");
  const prototype = (queue as { prototype: RequestQueue }).prototype;
  const schedule = Reflect.get(prototype, "scheduleCheckPendingRequests");
  prototype.scheduleCheckPendingRequests = function (this: RequestQueue) {
    if (this.pending.length > 0) schedule.call(this);
  };
}

interface RequestQueue {
  readonly pending: readonly unknown[];
  scheduleCheckPendingRequests(this: RequestQueue): void;
}

/** Far more than CloudEvents and tracing need. */
export const maxHeaders = 64;

/**
 * kafkajs 2.2.4 copies all headers that it has for each one that it reads: a message with 5,000 of them, of 60 KB, blocks
 * the process for 24 s (Node 24.21, 2 busy cores), is not handled before the session ends, and comes again. One more than
 * may be is kept, so that it shows.
 */
function boundHeaders(): void {
  const decoder: unknown = createRequire(import.meta.url)("kafkajs/src/protocol/decoder.js");
  const prototype = (decoder as { prototype: Decoder }).prototype;
  // Record headers are the only such arrays.
  const read = Reflect.get(prototype, "readVarIntArray");
  prototype.readVarIntArray = function (this: Decoder, reader) {
    return read.call(this, reader).slice(0, maxHeaders + 1);
  };
}

interface Decoder {
  readVarIntArray(this: Decoder, reader: unknown): unknown[];
}

stopIdleTimer();
boundHeaders();
