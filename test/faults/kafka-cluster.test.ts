import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "@jest/globals";
import { randomInt } from "node:crypto";
import { ConfigResourceTypes } from "kafkajs";
import { pino } from "pino";
import { silentLog } from "../../lib/log.ts";
import { openClient } from "../../services/events/kafkajs-client.ts";
import { eventually } from "../support/eventually.ts";
import { describeWithKafka } from "../support/kafka.ts";
import { startKafkaCluster, type KafkaCluster } from "../support/kafka-cluster.ts";
import { signUpModerator, startLoad, type Journal } from "../support/load.ts";
import {
  contractTopics,
  createContractTopics,
  kafkaEnv,
  reserveIds,
  violations,
  watchTopics,
  type IdRange,
} from "../support/oracle.ts";
import { randomFrom } from "../support/random.ts";
import { startService, type TestService } from "../support/service.ts";

/** Rows 6 and 7 of the fault table, in their short form. */
let cluster: KafkaCluster;
let service: TestService;
let ids: IdRange;
let warnings: string[];

/** People live while something happens to the brokers. */
async function loadDuring(faults: () => Promise<void>): Promise<Journal> {
  const seed = randomInt(2 ** 31);
  const stop = new AbortController();
  const moderator = await signUpModerator(service.url, service);
  const options = { urls: [service.url], moderator, people: 2, pauseMs: 50, random: randomFrom(seed) };
  const { journal, ended } = startLoad({ ...options, stop: stop.signal });
  try {
    await faults();
  } finally {
    stop.abort();
    await ended;
  }
  expect([journal.unexpected, journal.repeated]).toEqual([[], 0]);
  return journal;
}
const demandNothingLost = async ({ acknowledged }: Journal): Promise<void> => {
  const watch = await watchTopics(cluster.kafka, ids);
  try {
    expect(await violations(service, watch, acknowledged)).toEqual([]);
  } finally {
    await watch.stop();
  }
};
const published = async (): Promise<number> =>
  (await service.query("select from outbox where published_at is not null")).length;
const publishesMore = async (count: number): Promise<void> => {
  const before = await published();
  const hasMore = async () => ((await published()) >= before + count ? true : undefined);
  await eventually(`${count} more are published`, hasMore, 40_000);
};

describeWithKafka("three brokers, three copies of every topic", () => {
  beforeAll(async () => {
    cluster = await startKafkaCluster();
    await eventually("all brokers take topics", async () => {
      await createContractTopics(cluster.kafka, { partitions: 3, replication: 3 });
      return true;
    });
  }, 180_000);
  afterAll(() => cluster.stop(), 60_000);
  beforeEach(async () => {
    await setMinInSync(2);
    warnings = [];
    const log = pino({ level: "warn" }, { write: (line: string) => void warnings.push(line) });
    service = await startService(kafkaEnv(cluster.kafka), { log });
    ids = await reserveIds(service);
  });
  afterEach(() => service.stop(), 60_000);

  test("one after the other is killed under load, each a leader of some partitions: nothing lost, nothing reordered", async () => {
    const journal = await loadDuring(async () => {
      for (const n of [0, 1]) {
        await publishesMore(5);
        await cluster.kill(n);
        await publishesMore(5);
        await cluster.start(n);
      }
    });
    await demandNothingLost(journal);
  }, 120_000);

  test("too few copies in sync: retried as a whole, nothing is held, and everything arrives when there are enough", async () => {
    await setMinInSync(3);
    const journal = await loadDuring(async () => {
      await publishesMore(5);
      await cluster.kill(2);
      await eventually(
        "the relay was told that there are too few",
        () => (warnings.some((line) => line.includes("fewer in-sync replicas")) ? true : undefined),
        40_000,
      );
      // One by one is for what cannot be published by itself; this is about all of it.
      expect(await service.query("select from outbox where published_at is null and attempts > 0")).toEqual([]);
      await cluster.start(2);
      await publishesMore(20);
    });
    await demandNothingLost(journal);
  }, 120_000);
});

async function setMinInSync(copies: number): Promise<void> {
  const { sasl, user, password } = cluster.kafka;
  const settings = { brokers: sasl.split(","), user, password, mechanism: "plain", ssl: undefined } as const;
  const client = openClient(settings, silentLog, 10_000);
  const admin = client.kafka.admin();
  await admin.connect();
  const configEntries = [{ name: "min.insync.replicas", value: String(copies) }];
  const resources = contractTopics.map((name) => ({ type: ConfigResourceTypes.TOPIC, name, configEntries }));
  await admin.alterConfigs({ validateOnly: false, resources });
  await admin.disconnect();
  client.destroy();
}
