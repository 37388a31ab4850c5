import type { Log } from "../../lib/log.ts";
import { system, type Actor } from "../../lib/principal.ts";
import type { Counter } from "../../mixins/metrics/metrics.ts";
import { deadLetter } from "./dead-letter.ts";
import { isNotNow, isRefusal, kindOf, reasonOf } from "./handler-errors.ts";
import type { KafkaPort, ReceivedMessage } from "./kafka.ts";
import { listenersByTopic, type Listener } from "./listeners.ts";
import { nameOf, readEvent, type ReceivedEvent } from "./read-event.ts";
import { createSkipped } from "./skipped.ts";
import { createTroubles } from "./troubles.ts";

export const outcomes = ["handled", "skipped", "failed", "dead_lettered"] as const;

export interface BridgeDeps {
  readonly kafka: KafkaPort;
  readonly log: Log;
  /** Messages and failed tries. */
  readonly received: Counter<(typeof outcomes)[number]>;
  readonly call: (action: string, params: object, actor: Actor) => Promise<unknown>;
}

export interface Bridge {
  /** How many partitions wait now for a message that failed. */
  waiting(): number;
}

const maxAttempts = 5;
/** Of consumers. Each topic has a group of its own: a topic that is missing, or known to some nodes only, holds up no other. */
const groupOf = (topic: string): string => `user-management.${topic}`;

/**
 * Calls an action for each event of other services that somebody listens to, at least once and in the order of its
 * partition. An action that says "not now" is asked again for ever; one that fails otherwise five times, and then the
 * message goes to the dead-letter topic. No message stops more than its own partition. It ends when `kafka` is closed.
 */
export async function startBridge(deps: BridgeDeps, listeners: readonly Listener[]): Promise<Bridge> {
  const { kafka, log, received } = deps;
  const troubles = createTroubles();
  const skipped = createSkipped(log);

  const bury = async (message: ReceivedMessage, reason: string, kind: string, attempts: number): Promise<void> => {
    const letter = deadLetter(message, reason, attempts);
    const partitions = await kafka.partitions(letter.topic);
    await kafka.publish([{ ...letter, partition: message.partition % partitions }]);
    received.add(1, "dead_lettered");
    const { topic, partition, offset } = message;
    log.error({ topic, partition, offset, attempts, reason: kind }, "a Kafka message went to the dead-letter topic");
  };

  const deliver = async (message: ReceivedMessage, { action }: Listener, event: ReceivedEvent): Promise<void> => {
    try {
      await deps.call(action.name, { event_id: event.id, data: event.data }, actorOf(event));
      received.add(1, "handled");
    } catch (error) {
      received.add(1, "failed");
      // The sentence goes to the log of whoever consumes: only the kind of error, nothing of the event.
      const again = new Error(`${action.name}: ${kindOf(error)}`);
      if (isNotNow(error)) throw again;
      const attempts = troubles.count(message);
      if (attempts < maxAttempts && !isRefusal(error)) throw again;
      await bury(message, reasonOf(error), kindOf(error), attempts);
    }
  };

  const subscriptions = [...listenersByTopic(listeners)].map(([topic, events]) =>
    kafka.subscribe({
      group: groupOf(topic),
      topics: [topic],
      onMessage: async (message) => {
        const name = nameOf(message);
        const listener = events.get(name);
        if (!listener) {
          received.add(1, "skipped");
          skipped.tell(topic, name);
          return;
        }
        await troubles.during(message, async () => {
          const reading = readEvent(message);
          if ("poison" in reading) await bury(message, reading.poison, reading.poison, 1);
          else await deliver(message, listener, reading.event);
        });
      },
    }),
  );
  await Promise.all(subscriptions);
  return { waiting: () => troubles.waiting() };
}

const actorOf = ({ traceparent }: ReceivedEvent): Actor => ({ ...system, traceparent });
