import type { Database } from "../../mixins/database/database.ts";
import type { Counter, Histogram, Metrics } from "../../mixins/metrics/metrics.ts";
import { queueState } from "./outbox-queue.repository.ts";

/** What the relay tells of its work. */
export interface OutboxMetrics {
  readonly attempts: Counter<"published" | "held" | "parked" | "away">;
  /** From handing a batch to Kafka to its acknowledgement. */
  readonly publishTime: Histogram;
  published(changes: number, delays: readonly number[]): void;
  leads(isSo: boolean): void;
}

export function measureOutbox(metrics: Metrics, db: Database): OutboxMetrics {
  let isLeader = false;
  let lastSuccess = 0;
  const attempts = metrics.counter("identity_outbox_attempts_total", "Attempts to publish a change, by outcome.", {
    outcome: ["published", "held", "parked", "away"],
  });
  const delay = metrics.histogram("identity_outbox_delay_seconds", "From a change to its publication.", {});
  const publishTime = metrics.histogram("identity_outbox_publish_seconds", "A batch to Kafka's acknowledgement.", {});
  metrics.gauges(
    {
      identity_outbox_unpublished: "Changes that wait to be published.",
      identity_outbox_oldest_seconds: "For how long the oldest change waits that nothing holds.",
      identity_outbox_parked: "Changes that cannot be published and wait for an operator.",
      identity_outbox_held: "Changes that wait behind a parked one of the same user.",
    },
    async () => {
      const state = await queueState(db);
      return {
        identity_outbox_unpublished: state.unpublished,
        identity_outbox_oldest_seconds: state.oldestSeconds,
        identity_outbox_parked: state.parked,
        identity_outbox_held: state.held,
      };
    },
  );
  metrics.gauges(
    {
      identity_outbox_leader: "1 where the relay runs; one node has it.",
      identity_outbox_last_success_timestamp_seconds: "When this node published last; 0: not since its start.",
    },
    () => ({ identity_outbox_leader: Number(isLeader), identity_outbox_last_success_timestamp_seconds: lastSuccess }),
  );
  return {
    attempts,
    publishTime,
    published: (changes, delays) => {
      lastSuccess = Date.now() / 1000;
      attempts.add(changes, "published");
      for (const seconds of delays) delay.observe(seconds);
    },
    leads: (isSo) => {
      isLeader = isSo;
    },
  };
}
