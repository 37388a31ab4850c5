import { setTimeout as sleep } from "node:timers/promises";
import type { Admin, Producer, ProducerConfig, TopicMessages } from "kafkajs";
import type { Log } from "../../lib/log.ts";
import { consume, type Subscription } from "./consume.ts";
import type { KafkaSettings } from "./kafka-settings.ts";
import { KafkaError, openClient, toKafkaError, type KafkaClient } from "./kafkajs-client.ts";

export type { KafkaSettings } from "./kafka-settings.ts";
export type { ReceivedMessage } from "./received-message.ts";
export { KafkaError, type KafkaFailure } from "./kafkajs-client.ts";

export interface KafkaMessage {
  readonly topic: string;
  readonly partition: number;
  readonly key: string;
  readonly value: string;
  readonly headers: Readonly<Record<string, string>>;
}

/** Bytes as they came, for what is passed on; `KafkaMessage` is one of these. */
export interface RawKafkaMessage {
  readonly topic: string;
  readonly partition: number;
  readonly key: string | Buffer | null;
  readonly value: string | Buffer | null;
  readonly headers: Readonly<Record<string, string | readonly Buffer[]>>;
}

/** Everything rejects with a `KafkaError` (see its `code`) within `deadlineMs`. */
export interface KafkaPort {
  /** The number of partitions, remembered for five minutes and forgotten after an error. Never creates the topic. */
  partitions(topic: string): Promise<number>;
  /** How a topic is, asked now; undefined when it is not there. */
  describe(topic: string): Promise<{ readonly partitions: number; readonly replication: number } | undefined>;
  /** Asks the broker now, and once: who asks wants to know how it is at the moment. */
  ping(topic: string): Promise<void>;
  /**
   * Resolves when every message is acknowledged by all in-sync replicas. Calls are carried out one after the other.
   * After a rejection some, all or none may have arrived: publish the same again, consumers de-duplicate by `ce_id`.
   */
  publish(messages: readonly RawKafkaMessage[]): Promise<void>;
  /** Creates those that are missing and resolves when they can be written to; existing ones are left as they are. */
  createTopics(
    topics: readonly { readonly topic: string; readonly partitions: number; readonly replication: number }[],
  ): Promise<void>;
  /** Resolves at once and goes on in the background: waits for broker and topics, and comes back after failures. */
  subscribe(subscription: Subscription): Promise<{ stop(): Promise<void> }>;
  /** Finishes what is under way if that takes no longer than a second, and cuts the rest. */
  close(): Promise<void>;
}

const partitionsAgeMs = 5 * 60_000;
const closeGraceMs = 1000;

/** Connects at the first use, and again after whatever went wrong: a broker that is away, a password that was fixed. */
export function connectKafka(settings: KafkaSettings, log: Log, options: { deadlineMs?: number } = {}): KafkaPort {
  const { deadlineMs = 10_000 } = options;
  const fromNow = () => Date.now() + deadlineMs;
  const clients = new Set<KafkaClient>();
  const subscriptions = new Set<{ stop(): Promise<void> }>();
  let closed = false;

  function open(options?: { readonly retries: number }): KafkaClient {
    if (closed) throw new KafkaError("closed", "this connection to Kafka was closed");
    const client = openClient(settings, log, deadlineMs, options);
    clients.add(client);
    return client;
  }

  function discard(client: KafkaClient): void {
    clients.delete(client);
    client.destroy();
  }

  async function ask<T>(
    deadline: number,
    question: (admin: Admin) => Promise<T>,
    options?: { readonly retries: number },
  ): Promise<T> {
    const client = open(options);
    try {
      return await client.within(deadline, async () => {
        const admin = client.kafka.admin();
        await admin.connect();
        return await question(admin);
      });
    } finally {
      discard(client);
    }
  }

  const describe = (topic: string, deadline: number, options?: { readonly retries: number }) =>
    ask(
      deadline,
      async (admin) => {
        const metadata = await admin.fetchTopicMetadata({ topics: [topic] });
        const partitions = metadata.topics[0]?.partitions ?? [];
        return { partitions: partitions.length, replication: partitions[0]?.replicas.length ?? 0 };
      },
      options,
    );

  const known = new Map<string, { readonly count: Promise<number>; readonly until: number }>();

  function partitions(topic: string, deadline = fromNow()): Promise<number> {
    const entry = known.get(topic);
    if (entry && Date.now() < entry.until) return entry.count;
    const asked = describe(topic, deadline).then(({ partitions }) => partitions);
    const count = asked.catch((error: unknown) => {
      known.delete(topic);
      throw error instanceof KafkaError && error.code === "unknown_topic"
        ? new KafkaError("unknown_topic", `there is no topic "${topic}"`, { cause: error })
        : error;
    });
    known.set(topic, { count, until: Date.now() + partitionsAgeMs });
    return count;
  }

  let line: { readonly client: KafkaClient; readonly producer: Producer; connected: boolean } | undefined;
  let previous: Promise<unknown> = Promise.resolve();
  let lastProblem: unknown;

  function publish(messages: readonly RawKafkaMessage[]): Promise<void> {
    const deadline = fromNow();
    const mine = previous.then(() => send(messages, deadline));
    // Whoever is before us is done by its own deadline, which lies before ours.
    previous = mine.catch((error: unknown) => {
      lastProblem = error;
    });
    return mine;
  }

  async function send(messages: readonly RawKafkaMessage[], deadline: number): Promise<void> {
    if (messages.length === 0) return;
    if (Date.now() >= deadline) {
      throw new KafkaError("deadline", "Kafka was kept busy by earlier messages", { cause: lastProblem });
    }
    await expectPartitions(messages, deadline);
    if (!line) {
      const client = open();
      line = { client, producer: client.kafka.producer(producerConfig), connected: false };
    }
    const { client, producer, connected } = line;
    try {
      await client.within(deadline, async () => {
        if (!connected) await producer.connect();
        const written = await producer.sendBatch({ acks: -1, timeout: deadlineMs, topicMessages: byTopic(messages) });
        const expected = new Set(messages.map(({ topic, partition }) => `${topic}/${partition}`)).size;
        if (written.length < expected) throw new KafkaError("unknown_partition", "Kafka did not take every partition");
      });
      line.connected = true;
    } catch (error) {
      // Never go on with this producer. If the broker had stored the batch whose answer got lost, the next *different*
      // batch would carry the same sequence numbers, and the broker would drop it as a duplicate and acknowledge it.
      discard(client);
      line = undefined;
      for (const { topic } of messages) known.delete(topic);
      throw error;
    }
  }

  /** kafkajs drops a message for a partition that does not exist, and reports success. */
  async function expectPartitions(messages: readonly RawKafkaMessage[], deadline: number): Promise<void> {
    const topics = [...new Set(messages.map(({ topic }) => topic))];
    const counts = new Map(
      await Promise.all(topics.map(async (topic) => [topic, await partitions(topic, deadline)] as const)),
    );
    for (const { topic, partition } of messages) {
      const count = counts.get(topic) ?? 0;
      if (Number.isInteger(partition) && partition >= 0 && partition < count) continue;
      known.delete(topic);
      throw new KafkaError("unknown_partition", `topic "${topic}" has ${count} partitions, none is ${partition}`);
    }
  }

  return {
    partitions: (topic) => partitions(topic),
    describe: async (topic) => {
      try {
        return await describe(topic, fromNow(), { retries: 0 });
      } catch (error) {
        if (error instanceof KafkaError && error.code === "unknown_topic") return undefined;
        throw error;
      }
    },
    ping: async (topic) => {
      await describe(topic, fromNow(), { retries: 0 });
    },
    publish,

    async createTopics(topics) {
      const deadline = fromNow();
      const wanted = topics.map(({ topic, partitions: numPartitions, replication: replicationFactor }) => ({
        topic,
        numPartitions,
        replicationFactor,
      }));
      // KRaft answers before the broker knows the topic; kafkajs, waiting for leaders, would fail on that.
      await ask(deadline, (admin) => admin.createTopics({ waitForLeaders: false, topics: wanted }));
      for (const { topic } of topics) {
        for (;;) {
          const problem = await partitions(topic, deadline).catch(toKafkaError);
          if (typeof problem === "number") break;
          if (problem.code !== "unknown_topic") throw problem;
          await sleep(50);
        }
      }
    },

    subscribe(subscription) {
      if (closed) return Promise.reject(new KafkaError("closed", "this connection to Kafka was closed"));
      const stopping = new AbortController();
      const ended = consume(subscription, open, discard, log, deadlineMs, stopping.signal);
      const handle = {
        async stop() {
          stopping.abort();
          await ended;
          subscriptions.delete(handle);
        },
      };
      subscriptions.add(handle);
      return Promise.resolve(handle);
    },

    async close() {
      closed = true;
      const farewell = async () => {
        await Promise.all([...subscriptions].map((subscription) => subscription.stop()));
        await previous;
        await line?.producer.disconnect();
      };
      await Promise.race([farewell().catch(() => undefined), sleep(closeGraceMs)]);
      for (const client of clients) discard(client);
    },
  };
}

const producerConfig: ProducerConfig = {
  idempotent: true,
  maxInFlightRequests: 1,
  allowAutoTopicCreation: false,
  createPartitioner:
    () =>
    ({ message }) =>
      message.partition ?? 0,
};

function byTopic(messages: readonly RawKafkaMessage[]): TopicMessages[] {
  return [...Map.groupBy(messages, ({ topic }) => topic)].map(([topic, group]) => ({
    topic,
    messages: group.map(({ partition, key, value, headers }) => ({ partition, key, value, headers: copied(headers) })),
  }));
}

const copied = (headers: RawKafkaMessage["headers"]): Record<string, string | Buffer[]> =>
  Object.fromEntries(
    Object.entries(headers).map(([name, value]) => [name, typeof value === "string" ? value : [...value]]),
  );
