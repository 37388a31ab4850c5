import type { Log } from "../../lib/log.ts";
import type { Database } from "../../mixins/database/database.ts";
import type { KafkaPort } from "./kafka.ts";
import { queueHead } from "./outbox-queue.repository.ts";
import { changesTopic } from "./topics.ts";

export interface OutboxHealthDeps {
  readonly db: Database;
  /** Undefined: none is configured. */
  readonly kafka: Pick<KafkaPort, "ping"> | undefined;
  readonly log: Log;
}

/** Events are usually there after some milliseconds; a relay that changes hands takes seconds. */
const lateSeconds = 60;

/** Never `down`: nothing is lost, and no request needs it. Why it is degraded stands in the log, once each time it changes. */
export function outboxHealth(deps: OutboxHealthDeps): () => Promise<"ok" | "degraded"> {
  let told = "";
  return async () => {
    const why = await problemOf(deps);
    if (why !== told && deps.kafka) {
      if (why === "") deps.log.info({}, "events are published again");
      else deps.log.warn({ why }, "events are degraded");
      told = why;
    }
    return why === "" ? "ok" : "degraded";
  };
}

/** @returns a sentence, always the same for the same problem; empty when all is well */
async function problemOf({ db, kafka }: OutboxHealthDeps): Promise<string> {
  if (!kafka) return "no Kafka is configured";
  const [answers, head] = await Promise.allSettled([kafka.ping(changesTopic), queueHead(db)]);
  if (answers.status === "rejected") return "Kafka does not answer";
  // Which has a check of its own.
  if (head.status === "rejected") return "";
  if (head.value.anyParked) return "changes are parked: npm run cli -- outbox status";
  if (head.value.oldestSeconds > lateSeconds) return `a change waits for more than ${lateSeconds} s`;
  return "";
}
