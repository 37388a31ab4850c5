import { setTimeout as sleep } from "node:timers/promises";
import type { Log } from "../../lib/log.ts";
import { toKafkaError, type KafkaClient } from "./kafkajs-client.ts";

export interface ReceivedMessage {
  readonly topic: string;
  readonly partition: number;
  readonly offset: string;
  readonly key: string | null;
  readonly value: string | null;
  readonly headers: Readonly<Record<string, string>>;
}

export interface Subscription {
  readonly group: string;
  readonly topics: readonly string[];
  /** The offset is committed when this has resolved; when it rejects the message comes again, and others wait for it. */
  onMessage(message: ReceivedMessage): Promise<void>;
}

const resubscribeMs = { first: 500, most: 5000 };
const heartbeatMs = 2000;
/** For so long after a broker crash the member of before blocks its group: 45 s with the 30 s of kafkajs. */
const sessionMs = 10_000;

/** Runs one consumer after the other until it is told to stop. */
export async function consume(
  subscription: Subscription,
  open: () => KafkaClient,
  discard: (client: KafkaClient) => void,
  log: Log,
  deadlineMs: number,
  stop: AbortSignal,
): Promise<void> {
  const { group, topics } = subscription;
  const isStopped = () => stop.aborted;
  const stopped = new Promise<void>((done) => stop.addEventListener("abort", () => done(), { once: true }));
  let pauseMs = resubscribeMs.first;
  while (!isStopped()) {
    const client = open();
    const consumer = client.kafka.consumer({
      groupId: group,
      allowAutoTopicCreation: false,
      sessionTimeout: sessionMs,
      heartbeatInterval: heartbeatMs,
      maxWaitTimeInMs: 500, // a stop has to wait for the fetch that is under way
      retry: { restartOnFailure: () => Promise.resolve(false) }, // the loop here restarts, on fresh connections
    });
    const crashed = new Promise<Error>((crash) => {
      consumer.on(consumer.events.CRASH, ({ payload }) => crash(payload.error));
    });
    try {
      await client.within(Date.now() + deadlineMs, async () => {
        await consumer.connect();
        await consumer.subscribe({ topics: [...topics], fromBeginning: true });
      });
      const running = consumer.run({
        eachMessage: async (payload) => {
          const { topic, partition } = payload;
          const { offset, key, value, headers } = payload.message;
          // kafkajs beats only between messages: a handler slower than the session would lose its partitions.
          const beating = setInterval(() => void payload.heartbeat().catch(() => undefined), heartbeatMs);
          try {
            await subscription.onMessage({
              topic,
              partition,
              offset,
              key: key?.toString("utf8") ?? null,
              value: value?.toString("utf8") ?? null,
              headers: textHeaders(headers ?? {}),
            });
            pauseMs = resubscribeMs.first;
          } catch (error) {
            log.error({ err: error, group, topic, partition, offset }, "Kafka message not handled, it will come again");
            throw error;
          } finally {
            clearInterval(beating);
          }
        },
      });
      const error = await Promise.race([crashed, running.then(() => crashed), stopped]);
      if (error) throw error;
      await client.within(Date.now() + deadlineMs, () => consumer.disconnect());
    } catch (error) {
      if (isStopped()) break;
      log.warn({ err: toKafkaError(error), group, topics, pauseMs }, "Kafka subscription failed, trying again");
      await Promise.race([sleep(pauseMs, undefined, { ref: false }), stopped]);
      pauseMs = Math.min(pauseMs * 2, resubscribeMs.most);
    } finally {
      discard(client);
    }
  }
}

function textHeaders(headers: Readonly<Record<string, unknown>>): Record<string, string> {
  const texts = Object.entries(headers).map(([name, value]): [string, string] => {
    const first: unknown = Array.isArray(value) ? value[0] : value;
    return [name, Buffer.isBuffer(first) ? first.toString("utf8") : String(first)];
  });
  return Object.fromEntries(texts);
}
