import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "@jest/globals";
import { randomInt } from "node:crypto";
import { eventually } from "../support/eventually.ts";
import { describeWithKafka } from "../support/kafka.ts";
import { startKafkaCluster, type KafkaCluster } from "../support/kafka-cluster.ts";
import { signUpModerator, startLoad, type Journal } from "../support/load.ts";
import {
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
    service = await startService(kafkaEnv(cluster.kafka));
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

  test("two are killed, too few copies are in sync: retried, not parked, and everything arrives when one is back", async () => {
    const journal = await loadDuring(async () => {
      await publishesMore(5);
      await cluster.kill(1);
      await cluster.kill(2);
      const waiting = "select attempts from outbox where published_at is null";
      await eventually("changes wait", async () => ((await service.query(waiting)).length >= 20 ? true : undefined));
      // One by one is for what cannot be published by itself; this is about all of it.
      expect(await service.query(`${waiting} and attempts > 0`)).toEqual([]);
      await Promise.all([cluster.start(1), cluster.start(2)]);
      await publishesMore(20);
    });
    await demandNothingLost(journal);
  }, 120_000);
});
