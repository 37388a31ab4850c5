import type { Health } from "../../lib/health.ts";
import type { Log } from "../../lib/log.ts";
import { system, type Actor } from "../../lib/principal.ts";
import { deadLetter } from "./dead-letter.ts";
import { isNotNow, isRefusal, kindOf, reasonOf } from "./handler-errors.ts";
import type { KafkaPort, ReceivedMessage } from "./kafka.ts";
import { listenersByTopic, type Listener } from "./listeners.ts";
import { nameOf, readEvent, type ReceivedEvent } from "./read-event.ts";
import { createSkipped } from "./skipped.ts";
import { createTroubles } from "./troubles.ts";

export interface BridgeDeps {
  readonly kafka: KafkaPort;
  readonly log: Log;
  readonly call: (action: string, params: object, actor: Actor) => Promise<unknown>;
}

export interface Bridge {
  /** `degraded` while a message waits for something that is away. */
  health(): Health;
  /** Since the start. */
  readonly counts: Readonly<Record<Outcome, number>>;
  stop(): Promise<void>;
}
type Outcome = "handled" | "skipped" | "failed" | "dead_lettered";

const maxAttempts = 5;
/** Of consumers. Each topic has a group of its own: a topic that is missing, or known to some nodes only, holds up no other. */
const groupOf = (topic: string): string => `user-management.${topic}`;

/**
 * Calls an action for each event of other services that somebody listens to, at least once and in the order of its
 * partition. An action that says "not now" is asked again for ever; one that fails otherwise five times, and then the
 * message goes to the dead-letter topic. No message stops more than its own partition.
 */
export async function startBridge(deps: BridgeDeps, listeners: readonly Listener[]): Promise<Bridge> {
  const { kafka, log } = deps;
  const counts = { handled: 0, skipped: 0, failed: 0, dead_lettered: 0 };
  const troubles = createTroubles();
  const skipped = createSkipped(log);

  const bury = async (message: ReceivedMessage, reason: string, kind: string, attempts: number): Promise<void> => {
    const letter = deadLetter(message, reason, attempts);
    const partitions = await kafka.partitions(letter.topic);
    await kafka.publish([{ ...letter, partition: message.partition % partitions }]);
    counts.dead_lettered++;
    const { topic, partition, offset } = message;
    log.error({ topic, partition, offset, attempts, reason: kind }, "a Kafka message went to the dead-letter topic");
  };

  const deliver = async (message: ReceivedMessage, { action }: Listener, event: ReceivedEvent): Promise<void> => {
    try {
      await deps.call(action.name, { event_id: event.id, data: event.data }, actorOf(event));
      counts.handled++;
    } catch (error) {
      counts.failed++;
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
          counts.skipped++;
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
  const running = await Promise.all(subscriptions);

  return {
    counts,
    health: () => ({ status: troubles.any() ? "degraded" : "ok" }),
    stop: async () => {
      await Promise.all(running.map((subscription) => subscription.stop()));
    },
  };
}

const actorOf = ({ traceparent }: ReceivedEvent): Actor => ({ ...system, traceparent });
