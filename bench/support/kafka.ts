import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { silentLog } from "../../lib/log.ts";
import { freeKafkaPorts, kafkaAvailable, startKafka } from "../../scripts/kafka/broker.ts";
import { connectKafka, type KafkaSettings, type ReceivedMessage } from "../../services/events/kafka.ts";
import { allTopics } from "../../services/events/topics.ts";
import { startTcpProxy, type TcpProxy } from "../../test/support/tcp-proxy.ts";
import { Skipped } from "../row.ts";

export interface BenchKafka {
  /** What a node needs to know of the broker. */
  readonly env: Readonly<Record<string, string>>;
  /** Tells of everything that is in the topics, from their beginning. */
  read(topics: readonly string[], onMessage: (message: ReceivedMessage) => void): Promise<void>;
  /** Between node and broker, if it was asked for: it takes time of its own. */
  readonly proxy: TcpProxy | undefined;
  stop(): Promise<void>;
}
const partitions = 6;

/** A real broker with the contract's topics. @throws Skipped without Java and Maven */
export async function createKafka({ proxied = false } = {}): Promise<BenchKafka> {
  const available = kafkaAvailable();
  if (available !== true) throw new Skipped(available);
  const dir = await mkdtemp(join(tmpdir(), "bench-kafka-"));
  const ports = await freeKafkaPorts();
  const proxy = proxied ? await startTcpProxy({ host: "127.0.0.1", port: ports.sasl }) : undefined;
  const broker = await startKafka({ dir, ports, ...(proxy && { advertisedSasl: proxy.port }) });
  const { user, password } = broker;
  const sasl = proxy ? `127.0.0.1:${proxy.port}` : broker.sasl;
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
    proxy,
    stop: async () => {
      await port.close();
      await proxy?.stop();
      await broker.stop();
      await rm(dir, { recursive: true, force: true });
    },
  };
}
