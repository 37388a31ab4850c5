/** `npm run kafka`: a real broker for development with the service's topics, kept in DATA_DIR, until Ctrl-C. */
import { join } from "node:path";
import { readEnvironment } from "../lib/config.ts";
import { silentLog } from "../lib/log.ts";
import { connectKafka } from "../services/events/kafka.ts";
import { topicsToCreate } from "../services/events/listeners.ts";
import { kafkaAvailable, startKafka } from "./kafka/broker.ts";

/** More than one, so that development sees what production has: order within a user, and none between users. */
const partitions = 3;

const available = kafkaAvailable();
if (available !== true) {
  console.error(`Kafka cannot be started: ${available}`);
  process.exit(1);
}

const dir = join(readEnvironment()["DATA_DIR"] ?? ".data", "kafka");
console.log(`Starting Kafka in ${dir} (the first start fetches it with Maven) ...`);
const kafka = await startKafka({ dir, ports: { plaintext: 9092, controller: 9093, sasl: 9094 } });

const stop = new AbortController();
for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.on(signal, () => {
    stop.abort();
    void kafka.stop();
  });
}

const withoutSasl = { user: undefined, password: undefined, mechanism: "plain", ssl: undefined } as const;
const admin = connectKafka({ brokers: [kafka.plaintext], ...withoutSasl }, silentLog);
try {
  await admin.createTopics(topicsToCreate.map((topic) => ({ topic, partitions, replication: 1 })));
  console.log(instructions());
} catch (error) {
  // Ctrl-C while they are made is no failure.
  if (!stop.signal.aborted) console.error("The topics could not be made:", error);
} finally {
  await admin.close();
}

await kafka.exited;
if (!stop.signal.aborted) {
  console.error(`Kafka ended by itself; see ${join(dir, "broker.log")}`);
  process.exitCode = 1;
}

function instructions(): string {
  const [host = "", port = ""] = kafka.sasl.split(":");
  return `Kafka is up, with the topics ${topicsToCreate.join(", ")}. In .env:

KAFKA_BOOTSTRAP_SERVER_HOST=${host}
KAFKA_BOOTSTRAP_SERVER_PORT=${port}
KAFKA_BROKER_USER=${kafka.user}
KAFKA_BROKER_PASSWORD=${kafka.password}

Without authentication, for tools: ${kafka.plaintext}. Ctrl-C stops it.`;
}
