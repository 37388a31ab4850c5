import type { Log } from "../../lib/log.ts";
import type { Database } from "../../mixins/database/database.ts";
import { KafkaError, type KafkaMessage, type KafkaPort } from "./kafka.ts";
import { messagesOf } from "./messages.ts";
import { markHeld, markPublished, unpublished } from "./outbox-queue.repository.ts";
import type { Change } from "./topics.ts";

export interface RelayDeps {
  readonly db: Database;
  readonly kafka: KafkaPort;
  readonly log: Log;
}

const batchSize = 300;

/**
 * Publishes what lies in the outbox, each user's changes in their order, at least once: a crash between publishing and
 * marking publishes the same ids again.
 * @returns "more" when there may be more to publish at once
 * @throws KafkaError when Kafka as a whole is away: everything stays as it is
 */
export async function relayOutbox(deps: RelayDeps): Promise<"more" | "done"> {
  const changes = await unpublished(deps.db, batchSize);
  if (changes.length === 0) return "done";
  const problem = await publish(deps, changes);
  if (problem) await publishOneByOne(deps, changes);
  return changes.length === batchSize ? "more" : "done";
}

/**
 * @returns why these changes cannot be published, if it is about one of them
 * @throws whatever is about Kafka or the database as a whole: what was published but not marked is published again
 */
async function publish({ db, kafka }: RelayDeps, changes: readonly Change[]): Promise<Error | undefined> {
  try {
    const messages = await Promise.all(changes.flatMap(messagesOf).map((message) => withPartition(kafka, message)));
    await kafka.publish(messages);
  } catch (error) {
    if (isKafkaAway(error)) throw error;
    return error instanceof Error ? error : new Error(String(error));
  }
  await markPublished(
    db,
    changes.map(({ id }) => id),
  );
  return undefined;
}

/** Something in the batch cannot be published: find it, hold it and its user's later changes, and let the others go. */
async function publishOneByOne(deps: RelayDeps, changes: readonly Change[]): Promise<void> {
  const held = new Set<number>();
  for (const change of changes) {
    if (held.has(change.userId)) continue;
    const problem = await publish(deps, [change]);
    if (!problem) continue;
    held.add(change.userId);
    await markHeld(deps.db, change.id, problem.message);
    const fields = { change_id: change.id, user_id: change.userId, reason: problem.message };
    deps.log.error(fields, "a change cannot be published and is held");
  }
}

/** All messages of one user go to one partition of a topic, so that they stay in order (the key is the event's name). */
async function withPartition(kafka: KafkaPort, message: Omit<KafkaMessage, "partition">): Promise<KafkaMessage> {
  const partitions = await kafka.partitions(message.topic);
  return { ...message, partition: Number(message.headers["ce_subject"]) % partitions };
}

/** These are about one message; every other failure is about Kafka as a whole. */
const aboutOneMessage: readonly string[] = ["unknown_topic", "unknown_partition", "refused"];
const isKafkaAway = (error: unknown): boolean => error instanceof KafkaError && !aboutOneMessage.includes(error.code);
