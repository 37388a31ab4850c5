import type { ServiceSchema } from "moleculer";
import type { Health } from "../../lib/health.ts";
import { implement } from "../../lib/actions.ts";
import { repeat, type Loop } from "../../lib/repeat.ts";
import { openServiceDatabase, type Node } from "../../mixins/node.ts";
import { eventsContract } from "./events.contract.ts";
import { connectKafka } from "./kafka.ts";
import { seekLeadership } from "./leadership.ts";
import { measureOutbox } from "./outbox-metrics.ts";
import { createRelay } from "./relay.ts";
import { outboxHealth } from "./outbox-health.ts";

const pollMs = 1000;

/** Carries the outbox to Kafka; does not know what an event means. Without Kafka the events wait where they are. */
export default function eventsService(node: Node): ServiceSchema {
  const { config, log } = node;
  const db = openServiceDatabase(node, "events", 3);
  const kafka = config.kafka && connectKafka(config.kafka, log);
  const leadership = seekLeadership(db);
  const metrics = measureOutbox(node.metrics, db);
  const leads = async (): Promise<boolean> => {
    metrics.leads(false);
    const held = await leadership.held();
    metrics.leads(held);
    return held;
  };
  const health = outboxHealth({ db, kafka, log });
  let loop: Loop | undefined;
  return {
    name: "events",
    actions: implement(eventsContract, {
      health: async (): Promise<Health> => ({ status: await health() }),
    }),
    events: { "outbox.appended": () => loop?.wake() },
    started: () => {
      if (!kafka) {
        log.info({}, "no Kafka is configured: events wait in the outbox");
        return;
      }
      const relay = createRelay({ db, kafka, log, metrics, leads, retention: config.outboxRetention });
      loop = repeat("event relay", log, pollMs, relay);
    },
    stopped: async () => {
      // Closing cuts what Kafka does not answer: the loop would wait its whole deadline for it.
      await Promise.all([loop?.stop(), kafka?.close()]);
      await leadership.release();
      await db.close();
    },
  };
}
