import { unpublished } from "./outbox-queue.repository.ts";
import { publishChanges, type PublishDeps } from "./publish-changes.ts";
import { tendOutbox } from "./upkeep.ts";

export interface RelayDeps extends PublishDeps {
  /** Seconds for which published changes are kept. */
  readonly retention: number;
}

const batchSize = 300;
/** How soon a topic that is back, or an operator's wish, is seen. */
const upkeepMs = 5000;

/**
 * Publishes what lies in the outbox, each user's changes in their order, at least once: a crash between publishing and
 * marking publishes the same ids again.
 * @returns one turn, to be repeated: it answers "more" when there may be more to do at once, and throws when Kafka
 *   as a whole is away, which changes nothing
 */
export function createRelay(deps: RelayDeps): () => Promise<"more" | "done"> {
  let tendedAt = -Infinity;
  return async () => {
    if (!(await deps.leads())) return "done";
    let upkeep: "more" | "done" = "done";
    if (performance.now() - tendedAt > upkeepMs) {
      upkeep = await tendOutbox(deps);
      if (upkeep === "done") tendedAt = performance.now();
    }
    const changes = await unpublished(deps.db, batchSize);
    if (changes.length > 0) await publishChanges(deps, changes);
    return changes.length === batchSize ? "more" : upkeep;
  };
}
