import { randomInt } from "node:crypto";
import type pg from "pg";
import { silentLog } from "../../lib/log.ts";
import { openClient } from "../../services/events/kafkajs-client.ts";
import { eventually } from "./eventually.ts";
import { uniqueName, type TestKafka } from "./kafka.ts";

type Role = "CU" | "CO" | "RM" | "MO";

/** From the contract (section 3) and not from the product, which is measured against it. */
const createdTopics: Readonly<Record<Role, readonly string[]>> = {
  CU: ["user_order", "user_review"],
  CO: ["user_order", "user_review"],
  RM: ["user_restaurant", "user_menu", "user_order"],
  MO: ["user_restaurant", "user_order"],
};
export const contractTopics = ["user_order", "user_review", "user_restaurant", "user_menu", "user_events"] as const;

/** What the service needs to know of a broker. */
export const kafkaEnv = (kafka: TestKafka): Record<string, string> => ({
  KAFKA_BOOTSTRAP_SERVER_HOST: kafka.sasl.split(":")[0] ?? "",
  KAFKA_BOOTSTRAP_SERVER_PORT: kafka.sasl.split(":")[1] ?? "",
  KAFKA_BROKER_USER: kafka.user,
  KAFKA_BROKER_PASSWORD: kafka.password,
});

/** A database, as the stand gives it. */
interface Queried {
  query<Row extends pg.QueryResultRow>(text: string, values?: unknown[]): Promise<Row[]>;
}

/** Ids that no other test of the run has: all share one Kafka, and every database would begin with 1. */
export interface IdRange {
  readonly from: number;
  readonly below: number;
}

export async function reserveIds(database: Queried): Promise<IdRange> {
  const size = 1_000_000;
  const from = randomInt(1, 2000) * size;
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
  const settings = { brokers: [kafka.sasl], user: kafka.user, password: kafka.password, mechanism: "plain" as const };
  const client = openClient({ ...settings, ssl: undefined }, silentLog, 10_000);
  const kept: Message[] = [];
  const next = new Map<string, number>();
  const consumer = client.kafka.consumer({ groupId: uniqueName("watch"), maxWaitTimeInMs: 100 });
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
        kept.push({ topic, partition, offset: Number(message.offset), ...text, headers, userId });
      }
      return Promise.resolve();
    },
  });
  return {
    messages: () => kept,
    ofUser: (userId, topic) => kept.filter((m) => m.userId === userId && (topic === undefined || m.topic === topic)),
    caughtUp: async () => {
      const ends = await Promise.all(
        topics.map(async (topic) =>
          (await admin.fetchTopicOffsets(topic)).map(
            ({ partition, high }) => [`${topic}/${partition}`, Number(high)] as const,
          ),
        ),
      );
      await eventually("everything in Kafka has been read", () =>
        ends.flat().every(([where, high]) => (next.get(where) ?? 0) >= high) ? true : undefined,
      );
    },
    stop: async () => {
      await consumer.disconnect().catch(() => undefined);
      await admin.disconnect().catch(() => undefined);
      client.destroy();
    },
  };
}

/** A request that was answered with success. */
export interface Acknowledged {
  readonly id: number;
  readonly email: string;
}

interface ChangeRow {
  readonly id: string;
  readonly user_id: number;
  readonly version: number;
  readonly type: string;
  /** An operator decided that it is not told. */
  readonly skipped: boolean;
  readonly data: {
    readonly role?: Role;
    readonly to?: Role;
    readonly first_time?: boolean;
    readonly seen_by_others?: boolean;
  };
}

/**
 * Nothing lost, nothing invented: compares what clients were told with the database, and the database with Kafka.
 * Waits for the outbox to drain first, so a relay has to run.
 * @returns what is wrong, in sentences; empty when all promises are kept
 */
export async function violations(
  database: Queried,
  watch: TopicWatch,
  acknowledged: readonly Acknowledged[],
): Promise<string[]> {
  await eventually(
    "the outbox is empty",
    async () => {
      const waiting = await database.query("select id from outbox where published_at is null");
      return waiting.length === 0 ? true : undefined;
    },
    30_000,
  );
  await watch.caughtUp();
  const users = await database.query<Acknowledged & { version: number; whole: boolean }>(
    `select u.id::int, u.email, u.version, p.user_id is not null as whole
     from users u left join user_profiles p on p.user_id = u.id`,
  );
  const changes = await database.query<ChangeRow>(
    `select id, user_id::int, version, type, data, skipped_at is not null as skipped
     from outbox order by user_id, version`,
  );
  // A topic may have taken what another refused.
  const skipped = new Set(changes.filter((change) => change.skipped).map(({ id }) => id));
  const changesOf = Map.groupBy(changes, (change) => change.user_id);
  const found: string[] = [];
  const expect = (isSo: boolean, otherwise: string) => {
    if (!isSo) found.push(otherwise);
  };

  for (const { id, email } of acknowledged) {
    const kept = users.some((user) => user.id === id && user.email === email);
    expect(kept, `the acknowledged registration of ${email} (${id}) is not in the database`);
  }
  for (const user of users) {
    const { id } = user;
    const mine = changesOf.get(id) ?? [];
    expect(user.whole, `user ${id} has no profile`);
    expect(isGapless(mine, user.version), `user ${id}, version ${user.version}, has events ${versions(mine)}`);
    for (const topic of contractTopics) {
      const due = mine
        .filter((change) => !change.skipped && topicsOf(change).includes(topic))
        .map((change) => change.id);
      const got = idsOf(watch.ofUser(id, topic)).filter((one) => !skipped.has(one));
      expect(same(due, got), `${topic} has of user ${id} ${got.join()}, due are ${due.join()}`);
    }
  }
  for (const [id] of changesOf) {
    expect(
      users.some((user) => user.id === id),
      `the outbox has a change of user ${id}, who does not exist`,
    );
  }
  const committed = new Set(changes.map(({ id }) => id));
  for (const { topic, userId, headers } of watch.messages()) {
    expect(committed.has(headers["ce_id"] ?? ""), `${topic} has an invented event of user ${userId}`);
  }
  return found;
}

/** Distinct events in the order in which they first appeared. */
export const idsOf = (messages: readonly Message[]): string[] => [
  ...new Set(messages.map(({ headers }) => headers["ce_id"] ?? "")),
];

const versions = (changes: readonly ChangeRow[]): string => changes.map(({ version }) => version).join();
const same = (one: readonly string[], other: readonly string[]): boolean => one.join() === other.join();
const isGapless = (changes: readonly ChangeRow[], upTo: number): boolean =>
  changes.length === upTo && changes.every(({ version }, index) => version === index + 1);

function topicsOf({ type, data }: ChangeRow): readonly string[] {
  const created = type === "user.registered" ? data.role : data.first_time === true ? data.to : undefined;
  const isRenamedCustomer = type === "user.profile_updated" && data.role === "CU" && data.seen_by_others === true;
  return [...(created ? createdTopics[created] : []), ...(isRenamedCustomer ? ["user_review"] : []), "user_events"];
}
