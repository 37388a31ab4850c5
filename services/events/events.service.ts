import type { ServiceSchema } from "moleculer";
import type { Health } from "../../lib/health.ts";
import { callByName, implement } from "../../lib/actions.ts";
import { repeat, type Loop } from "../../lib/repeat.ts";
import { openServiceDatabase, type Node } from "../../mixins/node.ts";
import { outcomes, startBridge, type Bridge, type BridgeDeps } from "./bridge.ts";
import { eventsContract } from "./events.contract.ts";
import { connectKafka } from "./kafka.ts";
import { seekLeadership } from "./leadership.ts";
import { listeners, type Listener } from "./listeners.ts";
import { measureOutbox } from "./outbox-metrics.ts";
import { createRelay } from "./relay.ts";
import { outboxHealth } from "./outbox-health.ts";

const pollMs = 1000;

/**
 * Carries the outbox to Kafka, and what others tell us to the actions that listen; does not know what an event means.
 * Without Kafka the events wait where they are.
 */
export default function eventsService(node: Node, heard: readonly Listener[] = listeners): ServiceSchema {
  const { config, log } = node;
  const db = openServiceDatabase(node, "events", 3);
  const kafka = config.kafka && connectKafka(config.kafka, log);
  // A connection of its own: what is wrong with a message of others must not cut the relay's.
  const incoming = config.kafka && heard.length > 0 ? connectKafka(config.kafka, log) : undefined;
  const leadership = seekLeadership(db);
  const metrics = measureOutbox(node.metrics, db);
  const leads = async (): Promise<boolean> => {
    metrics.leads(false);
    const held = await leadership.held();
    metrics.leads(held);
    return held;
  };
  const outboxIs = outboxHealth({ db, kafka, log });
  let loop: Loop | undefined;
  let bridge: Bridge | undefined;
  const waiting = (): number => bridge?.waiting() ?? 0;
  const received = node.metrics.counter(
    "identity_events_received_total",
    "Messages of others, and tries that failed.",
    {
      outcome: outcomes,
    },
  );
  node.metrics.gauges(
    { identity_events_waiting_partitions: "Partitions that wait for a message that failed." },
    () => ({
      identity_events_waiting_partitions: waiting(),
    }),
  );
  return {
    name: "events",
    actions: implement(eventsContract, {
      health: async (): Promise<Health> => {
        const outbox = await outboxIs();
        return { status: waiting() === 0 ? outbox : "degraded" };
      },
    }),
    events: { "outbox.appended": () => loop?.wake() },
    started: async () => {
      if (!kafka) {
        log.info({}, "no Kafka is configured: events wait in the outbox");
        return;
      }
      const relay = createRelay({ db, kafka, log, metrics, leads, retention: config.outboxRetention });
      loop = repeat("event relay", log, pollMs, relay);
      if (!incoming) return;
      const call: BridgeDeps["call"] = (action, params, actor) => callByName(node.broker, action, params, actor);
      bridge = await startBridge({ kafka: incoming, log, received, call }, heard);
    },
    stopped: async () => {
      // Closing cuts what Kafka does not answer: the loop would wait its whole deadline for it.
      await Promise.all([loop?.stop(), kafka?.close(), incoming?.close()]);
      await leadership.release();
      await db.close();
    },
  };
}
