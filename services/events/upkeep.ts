import type { Log } from "../../lib/log.ts";
import type { Database } from "../../mixins/database/database.ts";
import type { KafkaPort } from "./kafka.ts";
import * as outbox from "./outbox-upkeep.repository.ts";

export interface UpkeepDeps {
  readonly db: Database;
  readonly kafka: Pick<KafkaPort, "partitions">;
  readonly log: Log;
  readonly leads: () => Promise<boolean>;
  readonly retention: number;
}

/**
 * What the relay does between two batches, and nobody else at any time: that way nothing is published while rows are put
 * back, and no newer change of a user overtakes the ones that are told again.
 * @returns "more" when there may be more to do
 */
export async function tendOutbox(deps: UpkeepDeps): Promise<"more" | "done"> {
  await carryOutReplay(deps);
  await goOnWhereTopicsAreBack(deps);
  const outcomes = [await outbox.holdBehindParked(deps.db), await outbox.deleteOld(deps.db, deps.retention)];
  return outcomes.includes("more") ? "more" : "done";
}

/** To its end, before anything else is published. @throws when the lead is lost: whoever has it goes on */
async function carryOutReplay({ db, log, leads }: UpkeepDeps): Promise<void> {
  const replay = await outbox.requestedReplay(db);
  if (!replay) return;
  let changes = 0;
  for (let outcome = "more"; outcome === "more";) {
    if (!(await leads())) throw new Error("the lead was lost while changes were put back");
    const step = await outbox.putBack(db, replay);
    changes += step.count;
    outcome = step.outcome;
  }
  await outbox.markCarriedOut(db, replay);
  log.info({ replay: replay.id, since: replay.since, topic: replay.topic, changes }, "changes are told again");
}

async function goOnWhereTopicsAreBack({ db, kafka, log }: UpkeepDeps): Promise<void> {
  for (const topic of await outbox.missingTopics(db)) {
    const isBack = await kafka.partitions(topic).then(
      () => true,
      () => false,
    );
    if (!isBack) continue;
    const changes = await outbox.unparkOfTopic(db, topic);
    log.info({ topic, changes }, "a topic is there: what was parked for it is tried again");
  }
}
