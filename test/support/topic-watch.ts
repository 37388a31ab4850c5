import { randomInt, randomUUID } from "node:crypto";
import type pg from "pg";
import { silentLog } from "../../lib/log.ts";
import { connectKafka } from "../../services/events/kafka.ts";
import { openClient } from "../../services/events/kafkajs-client.ts";
import { eventually } from "./eventually.ts";
import type { TestKafka } from "./kafka.ts";

export const contractTopics = ["user_order", "user_review", "user_restaurant", "user_menu", "user_events"] as const;

/** `sasl` may name several brokers, with commas; without a user there is no SASL. */
const settingsOf = ({ sasl, user, password }: TestKafka) =>
  ({ brokers: sasl.split(","), user: user || undefined, password, mechanism: "plain", ssl: undefined }) as const;

/** The listener before which no proxy stands. */
export const aroundProxy = ({ plaintext }: TestKafka): TestKafka => ({
  plaintext,
  sasl: plaintext,
  user: "",
  password: "",
});

/** What the service needs to know of a broker, or of several. */
export function kafkaEnv({ sasl, user, password }: TestKafka): Record<string, string> {
  const [host = "", port = ""] = sasl.split(":");
  return {
    KAFKA_BOOTSTRAP_SERVER_HOST: sasl.includes(",") ? sasl : host,
    KAFKA_BOOTSTRAP_SERVER_PORT: sasl.includes(",") ? "9092" : port,
    KAFKA_BROKER_USER: user,
    KAFKA_BROKER_PASSWORD: password,
  };
}

/** Those of the contract that are missing. */
export async function createContractTopics(
  kafka: TestKafka,
  { partitions = 3, replication = 1 } = {},
  topics: readonly string[] = contractTopics,
): Promise<void> {
  const port = connectKafka(settingsOf(kafka), silentLog);
  try {
    await port.createTopics(topics.map((topic) => ({ topic, partitions, replication })));
  } finally {
    await port.close();
  }
}

/** A database, as the stand gives it. */
export interface Queried {
  query<Row extends pg.QueryResultRow>(text: string, values?: unknown[]): Promise<Row[]>;
}

/** Ids that no other test of the run has: all share one Kafka, and every database would begin with 1. */
export interface IdRange {
  readonly from: number;
  readonly below: number;
}

export async function reserveIds(database: Queried): Promise<IdRange> {
  // Enough for an hour of chaos. Of 2,000 larger ranges two tests of a run had the same one now and then.
  const size = 100_000;
  const from = randomInt(1, 20_000) * size;
  await database.query(`alter table users alter column id restart with ${from}`);
  return { from, below: from + size };
}

export interface Message {
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
  readonly key: string;
  /** As the bytes are, one character each: what is no ASCII shows. */
  readonly value: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly userId: number;
}

export interface TopicWatch {
  /** In the order of each partition. */
  messages(): readonly Message[];
  ofUser(userId: number, topic?: string): readonly Message[];
  /** Resolves when everything has been read that is in Kafka at the time of the call. */
  caughtUp(): Promise<void>;
  stop(): Promise<void>;
}

/** Reads topics from their beginning and keeps what is about users in a range. */
export async function watchTopics(
  kafka: TestKafka,
  ids: IdRange,
  topics: readonly string[] = contractTopics,
): Promise<TopicWatch> {
  const client = openClient(settingsOf(kafka), silentLog, 10_000);
  const kept: Message[] = [];
  const keptOf = new Map<number, Message[]>();
  const next = new Map<string, number>();
  const consumer = client.kafka.consumer({ groupId: `watch-${randomUUID()}`, maxWaitTimeInMs: 100 });
  const admin = client.kafka.admin();
  await admin.connect();
  await consumer.connect();
  await consumer.subscribe({ topics: [...topics], fromBeginning: true });
  await consumer.run({
    eachMessage: ({ topic, partition, message }) => {
      next.set(`${topic}/${partition}`, Number(message.offset) + 1);
      const headers = Object.fromEntries(
        Object.entries(message.headers ?? {}).map(([name, value]) => [name, String(value)]),
      );
      const userId = Number(headers["ce_subject"]);
      if (userId >= ids.from && userId < ids.below) {
        const text = { key: message.key?.toString("latin1") ?? "", value: message.value?.toString("latin1") ?? "" };
        const received = { topic, partition, offset: Number(message.offset), ...text, headers, userId };
        kept.push(received);
        keptOf.set(userId, [...(keptOf.get(userId) ?? []), received]);
      }
      return Promise.resolve();
    },
  });
  return {
    messages: () => kept,
    ofUser: (userId, topic) =>
      (keptOf.get(userId) ?? []).filter((message) => topic === undefined || message.topic === topic),
    caughtUp: async () => {
      const endsOf = async (topic: string) =>
        (await admin.fetchTopicOffsets(topic)).map(
          ({ partition, high }) => [`${topic}/${partition}`, Number(high)] as const,
        );
      // Asked again: brokers that were just restarted answer with an error while they elect leaders.
      const ends = await eventually("Kafka tells where its topics end", () => Promise.all(topics.map(endsOf)), 60_000);
      await eventually(
        "everything in Kafka has been read",
        () => (ends.flat().every(([where, high]) => (next.get(where) ?? 0) >= high) ? true : undefined),
        60_000,
      );
    },
    stop: async () => {
      await consumer.disconnect().catch(() => undefined);
      await admin.disconnect().catch(() => undefined);
      client.destroy();
    },
  };
}
