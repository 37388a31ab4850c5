import { setTimeout as sleep } from "node:timers/promises";
import type { Log } from "../../lib/log.ts";
import { consumeBatch, type Failures } from "./consume-batch.ts";
import { toKafkaError, type KafkaClient } from "./kafkajs-client.ts";
import type { ReceivedMessage } from "./received-message.ts";

export interface Subscription {
  readonly group: string;
  readonly topics: readonly string[];
  /**
   * The offset is committed when this has resolved. When it rejects, the message comes again after a back-off, and its
   * partition waits for it.
   */
  onMessage(message: ReceivedMessage): Promise<void>;
}

const resubscribeMs = { first: 500, most: 5000 };
const heartbeatMs = 2000;
/** A crash repeats what was handled since: consumers de-duplicate, but there is no need to make it much. */
const commitMs = 1000;
/** Partitions that are worked on at once. What one fetch brought is finished before the next, so that is kept small. */
const concurrency = 8;
const maxBytesPerPartition = 256 * 1024;
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
  const failures: Failures = new Map();
  let pauseMs = resubscribeMs.first;
  while (!isStopped()) {
    const client = open();
    const consumer = client.kafka.consumer({
      groupId: group,
      allowAutoTopicCreation: false,
      sessionTimeout: sessionMs,
      heartbeatInterval: heartbeatMs,
      maxBytesPerPartition,
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
        eachBatchAutoResolve: false,
        autoCommitInterval: commitMs,
        partitionsConsumedConcurrently: concurrency,
        eachBatch: async (payload) => {
          pauseMs = resubscribeMs.first;
          await consumeBatch(payload, { onMessage: (message) => subscription.onMessage(message), failures, log });
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
