import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { silentLog } from "../../lib/log.ts";
import { kafkaAvailable, startKafka } from "../../scripts/kafka/broker.ts";
import { connectKafka, type KafkaSettings, type ReceivedMessage } from "../../services/events/kafka.ts";
import { allTopics } from "../../services/events/topics.ts";
import { Skipped } from "../row.ts";

export interface BenchKafka {
  /** What a node needs to know of the broker. */
  readonly env: Readonly<Record<string, string>>;
  /** Tells of everything that is in the topics, from their beginning. */
  read(topics: readonly string[], onMessage: (message: ReceivedMessage) => void): Promise<void>;
  stop(): Promise<void>;
}
const partitions = 6;

/** A real broker with the contract's topics. @throws Skipped without Java and Maven */
export async function createKafka(): Promise<BenchKafka> {
  const available = kafkaAvailable();
  if (available !== true) throw new Skipped(available);
  const dir = await mkdtemp(join(tmpdir(), "bench-kafka-"));
  const broker = await startKafka({ dir });
  const { sasl, user, password } = broker;
  const settings: KafkaSettings = { brokers: [sasl], user, password, mechanism: "plain", ssl: undefined };
  const port = connectKafka(settings, silentLog);
  await port.createTopics(allTopics.map((topic) => ({ topic, partitions, replication: 1 })));
  const [host = "", portNumber = ""] = sasl.split(":");
  return {
    env: {
      KAFKA_BOOTSTRAP_SERVER_HOST: host,
      KAFKA_BOOTSTRAP_SERVER_PORT: portNumber,
      KAFKA_BROKER_USER: user,
      KAFKA_BROKER_PASSWORD: password,
    },
    read: async (topics, tell) => {
      const onMessage = (message: ReceivedMessage): Promise<void> => {
        tell(message);
        return Promise.resolve();
      };
      await port.subscribe({ group: `bench-${topics.join("-")}`, topics, onMessage });
    },
    stop: async () => {
      await port.close();
      await broker.stop();
      await rm(dir, { recursive: true, force: true });
    },
  };
}
