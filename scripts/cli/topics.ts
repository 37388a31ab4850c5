import { kafkaConfigOf, readEnvironment } from "../../lib/config.ts";
import { silentLog } from "../../lib/log.ts";
import { connectKafka, KafkaError, type KafkaPort } from "../../services/events/kafka.ts";
import { topicsToCreate } from "../../services/events/listeners.ts";
import { readArgs, readWholeNumber } from "./arguments.ts";

const usage = `npm run cli -- topics [--partitions n] [--replication n] [--json]
Creates the topics that are missing and shows all of them. Existing ones are never changed: with another number of
partitions a user's events would go to another partition, and overtake the ones before.`;

/** What is left out is decided by the broker for the replication, which it knows best. */
const defaults = { partitions: 6, replication: -1 };

interface Shown {
  readonly topic: string;
  readonly partitions: number;
  readonly replication: number;
  readonly created: boolean;
}

/** Topics come to be by this command alone: the service never creates one by writing to it. */
export async function topicsCommand(args: readonly string[]): Promise<void> {
  const number = { type: "string" } as const;
  const json = { type: "boolean", default: false } as const;
  const { values } = readArgs(args, { partitions: number, replication: number, json }, usage);
  const range = { min: 1, max: 1000 };
  const wanted = {
    partitions:
      values.partitions === undefined ? defaults.partitions : readWholeNumber("--partitions", values.partitions, range),
    replication:
      values.replication === undefined
        ? defaults.replication
        : readWholeNumber("--replication", values.replication, { min: 1, max: 10 }),
  };
  const kafka = connectKafka(kafkaConfigOf(readEnvironment()), silentLog);
  try {
    const shown = await createMissing(kafka, wanted);
    console.log(values.json ? JSON.stringify(shown) : shown.map(sentence).join("\n"));
  } catch (error) {
    if (error instanceof KafkaError) throw new Error(`Kafka: ${error.code}: ${error.message}`, { cause: error });
    throw error;
  } finally {
    await kafka.close();
  }
}

async function createMissing(kafka: KafkaPort, wanted: typeof defaults): Promise<Shown[]> {
  const before = await Promise.all(topicsToCreate.map((topic) => kafka.describe(topic)));
  const missing = topicsToCreate.filter((_, index) => !before[index]);
  if (missing.length > 0) await kafka.createTopics(missing.map((topic) => ({ topic, ...wanted })));
  const after = await Promise.all(topicsToCreate.map((topic) => kafka.describe(topic)));
  return topicsToCreate.map((topic, index) => {
    const { partitions = 0, replication = 0 } = after[index] ?? {};
    return { topic, partitions, replication, created: missing.includes(topic) };
  });
}

const sentence = ({ topic, partitions, replication, created }: Shown): string =>
  `${topic}: ${created ? "created" : "was there"}, partitions ${partitions}, replicas ${replication}`;
