import type { Log } from "../../lib/log.ts";
import type { Database } from "../../mixins/database/database.ts";
import { KafkaError, type KafkaMessage, type KafkaPort } from "./kafka.ts";
import { messagesOf } from "./messages.ts";
import type { OutboxMetrics } from "./outbox-metrics.ts";
import { markFailed, markPublished, type Problem, type QueuedChange } from "./outbox-queue.repository.ts";

export interface PublishDeps {
  readonly db: Database;
  readonly kafka: KafkaPort;
  readonly log: Log;
  readonly metrics: OutboxMetrics;
  /** Whether this process may publish. Asked before each batch: the lock may be lost, unnoticed. */
  readonly leads: () => Promise<boolean>;
}

/** A change and all that Kafka is to hear of it. */
interface Ready {
  readonly change: QueuedChange;
  readonly messages: readonly KafkaMessage[];
}

/**
 * Publishes changes, each user's in their order, and marks them. One that cannot be published by itself is marked as
 * failed, and its user's later ones stay where they are; the others go.
 * @throws KafkaError when Kafka as a whole is away: what was published but not marked is published again, with its id
 */
export async function publishChanges(deps: PublishDeps, changes: readonly QueuedChange[]): Promise<void> {
  /** User -> the version that cannot be published. */
  const held = new Map<number, number>();
  const isHeld = ({ userId, version }: QueuedChange): boolean => version >= (held.get(userId) ?? Infinity);
  const fail = async (change: QueuedChange, problem: Problem): Promise<void> => {
    held.set(change.userId, change.version);
    await markAsFailed(deps, change, problem);
  };
  const ready: Ready[] = [];
  const partitions = rememberedPartitions(deps.kafka);
  for (const change of changes) {
    if (isHeld(change)) continue;
    const messages = await prepare(change, partitions);
    if (messages instanceof Error) await fail(change, problemOf(messages));
    else ready.push({ change, messages });
  }

  // All at once; what is refused is cut in half until the one is found that it is about, the older half first.
  const waiting: (readonly Ready[])[] = [ready];
  for (let next = waiting.shift(); next; next = waiting.shift()) {
    const batch = next.filter(({ change }) => !isHeld(change));
    const [first] = batch;
    if (!first) continue;
    if (!(await deps.leads())) return;
    const error = await send(deps, batch);
    if (!error) continue;
    const half = Math.ceil(batch.length / 2);
    if (batch.length === 1) await fail(first.change, problemOf(error));
    else waiting.unshift(batch.slice(0, half), batch.slice(half));
  }
}

/** @returns why it was refused, if that is about the messages and not about Kafka as a whole */
async function send({ db, kafka, metrics }: PublishDeps, batch: readonly Ready[]): Promise<Error | undefined> {
  const began = performance.now();
  try {
    await kafka.publish(batch.flatMap(({ messages }) => messages));
  } catch (error) {
    if (isKafkaAway(error)) {
      metrics.attempts.add(batch.length, "away");
      throw error;
    }
    return asError(error);
  }
  metrics.publishTime.observe((performance.now() - began) / 1000);
  const delays = await markPublished(
    db,
    batch.map(({ change }) => change.id),
  );
  metrics.published(batch.length, delays);
  return undefined;
}

type Partitions = (topic: string) => Promise<number>;

/** @returns the messages, or why there can be none */
async function prepare(change: QueuedChange, partitions: Partitions): Promise<readonly KafkaMessage[] | Error> {
  try {
    const messages = messagesOf(change).filter(({ topic }) => topic === (change.onlyTopic ?? topic));
    return await Promise.all(
      // All messages of one user go to one partition of a topic, so that they stay in order (the key is the event's name).
      messages.map(async (message) => ({
        ...message,
        partition: change.userId % (await partitions(message.topic)),
      })),
    );
  } catch (error) {
    if (isKafkaAway(error)) throw error;
    return asError(error);
  }
}

/** A topic that is not there is asked for once a batch, and not by each change that needs it. */
function rememberedPartitions(kafka: KafkaPort): Partitions {
  const asked = new Map<string, Promise<number>>();
  return (topic) => {
    const answer = asked.get(topic) ?? kafka.partitions(topic).catch((error: unknown) => missing(topic, error));
    asked.set(topic, answer);
    return answer;
  };
}

class MissingTopic extends Error {
  readonly topic: string;
  constructor(topic: string, message: string, options: ErrorOptions) {
    super(message, options);
    this.topic = topic;
  }
}

function missing(topic: string, error: unknown): never {
  if (error instanceof KafkaError && error.code === "unknown_topic") {
    throw new MissingTopic(topic, error.message, { cause: error });
  }
  throw error;
}

async function markAsFailed({ db, log, metrics }: PublishDeps, change: QueuedChange, problem: Problem): Promise<void> {
  const outcome = await markFailed(db, change.id, problem);
  metrics.attempts.add(1, outcome);
  const fields = { change_id: change.id, user_id: change.userId, type: change.type, reason: problem.reason };
  if (outcome === "parked")
    log.error(fields, "a change is parked: it cannot be published, and holds its user's later ones");
  else log.warn(fields, "a change cannot be published and will be tried again");
}

const problemOf = (error: Error): Problem => ({
  reason: error.message,
  missingTopic: error instanceof MissingTopic ? error.topic : undefined,
});
const asError = (error: unknown): Error => (error instanceof Error ? error : new Error(String(error)));

/** These are about one message; every other failure is about Kafka as a whole. */
const aboutOneMessage: readonly string[] = ["unknown_topic", "unknown_partition", "refused"];
const isKafkaAway = (error: unknown): boolean => error instanceof KafkaError && !aboutOneMessage.includes(error.code);
