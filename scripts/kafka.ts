/** `npm run kafka`: a real broker for development, kept in DATA_DIR, until Ctrl-C. */
import { join } from "node:path";
import { kafkaAvailable, startKafka } from "./kafka/broker.ts";

const available = kafkaAvailable();
if (available !== true) {
  console.error(`Kafka cannot be started: ${available}`);
  process.exit(1);
}

const dir = join(process.env.DATA_DIR ?? ".data", "kafka");
console.log(`Starting Kafka in ${dir} (the first start fetches it with Maven) ...`);
const kafka = await startKafka({ dir, ports: { plaintext: 9092, controller: 9093, sasl: 9094 } });
const [host = "", port = ""] = kafka.sasl.split(":");

console.log(`Kafka is up. In .env:

KAFKA_BOOTSTRAP_SERVER_HOST=${host}
KAFKA_BOOTSTRAP_SERVER_PORT=${port}
KAFKA_BROKER_USER=${kafka.user}
KAFKA_BROKER_PASSWORD=${kafka.password}

Without authentication, for tools: ${kafka.plaintext}. Ctrl-C stops it.`);

const stop = new AbortController();
for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.on(signal, () => {
    stop.abort();
    void kafka.stop();
  });
}
await kafka.exited;
if (!stop.signal.aborted) {
  console.error(`Kafka ended by itself; see ${join(dir, "broker.log")}`);
  process.exitCode = 1;
}
