import type { Log } from "../../lib/log.ts";
import type { EachBatchPayload } from "./kafkajs-client.ts";
import { receivedMessage, type ReceivedMessage } from "./received-message.ts";

const heartbeatMs = 2000;
const waitMs = { first: 200, most: 30_000 };

/** The message that each partition waits for, and how often it failed. It outlives the connection. */
export type Failures = Map<string, { readonly offset: string; readonly count: number }>;

export interface BatchContext {
  readonly onMessage: (message: ReceivedMessage) => Promise<void>;
  readonly failures: Failures;
  readonly log: Log;
}

/**
 * One partition's messages, in their order. One that fails comes again after a while that doubles each time, up to 30 s,
 * and those behind it wait with it; other partitions go on. It is never thrown at kafkajs, which would stop all of them.
 */
export async function consumeBatch(payload: EachBatchPayload, context: BatchContext): Promise<void> {
  const { topic, partition, messages } = payload.batch;
  const { failures, log } = context;
  const where = `${topic}/${partition}`;
  // kafkajs beats only between messages: a handler slower than the session would lose its partitions.
  const beating = setInterval(() => void payload.heartbeat().catch(() => undefined), heartbeatMs);
  try {
    for (const message of messages) {
      if (!payload.isRunning() || payload.isStale()) return;
      const { offset } = message;
      try {
        await context.onMessage(receivedMessage(topic, partition, message));
      } catch (error) {
        const last = failures.get(where);
        const count = last?.offset === offset ? last.count + 1 : 1;
        failures.set(where, { offset, count });
        const pauseMs = pauseAfter(count);
        const reason = error instanceof Error ? error.message : String(error);
        log.warn(
          { topic, partition, offset, failures: count, pauseMs, reason },
          "a Kafka message was not handled, it will come again",
        );
        setTimeout(payload.pause(), pauseMs).unref();
        return;
      }
      failures.delete(where);
      payload.resolveOffset(offset);
      await payload.commitOffsetsIfNecessary();
      await payload.heartbeat();
    }
  } finally {
    clearInterval(beating);
  }
}

const pauseAfter = (failures: number): number =>
  Math.min(waitMs.first * 2 ** Math.min(failures - 1, 20), waitMs.most) * (0.5 + Math.random() / 2);
