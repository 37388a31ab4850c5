import type { Database } from "../../mixins/database/database.ts";
import type { Counter, Histogram, Metrics } from "../../mixins/metrics/metrics.ts";
import { failureOutcomes, type FailureOutcome } from "./failures.ts";
import { queueState } from "./mail-upkeep.repository.ts";

export interface MailMetrics {
  readonly attempts: Counter<FailureOutcome | "sent">;
  /** From queued to sent. */
  readonly latency: Histogram;
}

/** From a mail that goes out at once to one that waited for a day. */
const bounds = [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 86_400];

/** What a node counts of its own attempts, and the queue that all nodes share. */
export function measureMails(metrics: Metrics, db: Database): MailMetrics {
  metrics.gauges(
    {
      identity_mails_queued: "Mails that wait to be sent.",
      identity_mails_due: "Of them, those whose next attempt is due.",
      identity_mails_oldest_seconds: "Age of the oldest mail that waits.",
      identity_mails_abandoned: "Mails that were given up, for an operator to look at.",
    },
    async () => {
      const { queued, due, oldestSeconds, abandoned } = await queueState(db);
      return {
        identity_mails_queued: queued,
        identity_mails_due: due,
        identity_mails_oldest_seconds: oldestSeconds,
        identity_mails_abandoned: abandoned,
      };
    },
  );
  return {
    attempts: metrics.counter("identity_mails_attempts_total", "Attempts to send a mail, by what they came to.", {
      outcome: ["sent", ...failureOutcomes],
    }),
    latency: metrics.histogram("identity_mails_send_seconds", "From queued to sent.", { bounds }),
  };
}
