import { afterEach, beforeEach, expect, test } from "@jest/globals";
import { randomInt, randomUUID } from "node:crypto";
import { patiently } from "../contract/accounts.ts";
import { eventually } from "../support/eventually.ts";
import type { FailPoint } from "../support/fail-point.ts";
import { describeWithKafka, kafkaForTests, type TestKafka } from "../support/kafka.ts";
import { signUpModerator, startLoad } from "../support/load.ts";
import {
  createContractTopics,
  kafkaEnv,
  reserveIds,
  violations,
  watchTopics,
  type Acknowledged,
  type AcknowledgedChange,
  type IdRange,
  type TopicWatch,
} from "../support/oracle.ts";
import { registration } from "../support/people.ts";
import { randomFrom } from "../support/random.ts";
import { killRelays, startDoomed } from "../support/relay-kills.ts";
import { startService, type TestService } from "../support/service.ts";

/** Accounts change in this process, which has no relay; relays are processes of their own, and short-lived. */
let service: TestService;
let kafka: TestKafka;
let ids: IdRange;
let watch: TopicWatch | undefined;
let acknowledged: Acknowledged[];

const relayEnv = () => ({ ...service.env, ...kafkaEnv(kafka), SERVICES: "events" });

async function registerAndRename(): Promise<void> {
  const client = service.client();
  const body = registration();
  const registered = await patiently(() => client.post("/api/v1/users/customers/", body));
  const name = randomUUID();
  const rename = { body: { user_profile: { first_name: name } } };
  const renamed = await patiently(() => client.request("PATCH", "/api/v1/users/current/", rename));
  expect([registered.status, renamed.status]).toEqual([201, 200]);
  const changes: AcknowledgedChange[] = [{ type: "user.profile_updated", data: { full_name: `${name} Kowalska` } }];
  acknowledged.push({ id: Number(registered.json()["id"]), email: body.email, changes });
}

/** A change that cannot be published, and holds its user's later ones: the relay goes through its batch one by one. */
const poison = randomUUID();
const poisonUser = (): number => acknowledged[0]?.id ?? 0;
const insertPoison = () =>
  service.query(
    `with bumped as (update users set version = version + 1 where id = $2 returning version)
     insert into outbox (id, user_id, version, type, data) select $1, $2, version, 'user.enchanted', '{}' from bumped`,
    [poison, poisonUser()],
  );
const removePoison = async () => {
  await service.query("delete from outbox where id = $1", [poison]);
  await service.query("update users set version = version - 1 where id = $1", [poisonUser()]);
};

const besides: readonly FailPoint[] = [
  { when: "before", kafka: "connect" },
  { when: "after", kafka: "connect" },
  { when: "before", kafka: "sendBatch" },
  { when: "after", kafka: "sendBatch" },
  { when: "after", service: "events", statement: "^update outbox" },
];

/**
 * Starts a relay that is to die at a point.
 * @param isDone when it is no longer waited for @returns whether it died
 */
async function relayUntil(point: FailPoint, isDone: () => Promise<boolean>): Promise<boolean> {
  const relay = startDoomed(relayEnv(), point);
  let end: string | undefined;
  void relay.exited.then(({ code, signal }) => (end = signal ?? String(code)));
  const ask = async () => end ?? ((await isDone()) ? "done" : undefined);
  const outcome = await eventually("the relay has died or is done", ask, 30_000).finally(() => relay.kill());
  expect(["SIGKILL", "done"]).toContain(outcome);
  return outcome === "SIGKILL";
}
const never = () => Promise.resolve(false);
const allTried = async () =>
  (await service.query("select from outbox where published_at is null and attempts = 0 limit 1")).length === 0;

beforeEach(async () => {
  service = await startService({ SERVICES: "auth,users,api-gateway" });
  acknowledged = [];
});
afterEach(async () => {
  await watch?.stop();
  watch = undefined;
  await service.stop();
});

describeWithKafka("kill -9 of the relay", () => {
  beforeEach(async () => {
    kafka = await kafkaForTests();
    await createContractTopics(kafka);
    ids = await reserveIds(service);
    await registerAndRename();
  }, 180_000);

  const demandNothingLost = async () => {
    const last = startDoomed(relayEnv());
    try {
      watch = await watchTopics(kafka, ids);
      expect(await violations(service, watch, acknowledged)).toEqual([]);
    } finally {
      await last.kill();
    }
  };

  test("before every one of its statements, before and after each of its Kafka calls, and when it has marked", async () => {
    for (const point of besides) {
      await registerAndRename();
      await relayUntil(point, never);
    }
    await insertPoison();
    let statement = 1;
    for (; statement < 60; statement++) {
      await service.query("update outbox set attempts = 0, next_attempt_at = null where published_at is null");
      if (!(await relayUntil({ when: "before", service: "events", statement: "", nth: statement }, allTried))) break;
      await registerAndRename();
    }
    // The lock, the batch, a mark, and the one that holds the poison, at the least.
    expect(statement).toBeGreaterThan(4);
    await removePoison();
    await demandNothingLost();
  }, 120_000);

  test("ten times at random around a publish, under load", async () => {
    const seed = randomInt(2 ** 31);
    const random = randomFrom(seed);
    const stop = new AbortController();
    const moderator = await signUpModerator(service.url, service);
    const load = { urls: [service.url], moderator, people: 2, pauseMs: 100, random, stop: stop.signal };
    const { journal, ended } = startLoad(load);
    try {
      await killRelays(relayEnv(), 10, random);
      stop.abort();
      await ended;
      expect(journal.unexpected).toEqual([]);
      acknowledged.push(...journal.acknowledged);
      await demandNothingLost();
    } catch (error) {
      throw new Error(`seed ${seed}`, { cause: error });
    } finally {
      stop.abort();
      await ended;
    }
  }, 120_000);
});
