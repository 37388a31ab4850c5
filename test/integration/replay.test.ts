import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { randomUUID } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startKafka, type RunningKafka } from "../../scripts/kafka/broker.ts";
import { runCli, type CliOutcome } from "../support/cli.ts";
import { eventually } from "../support/eventually.ts";
import { describeWithKafka } from "../support/kafka.ts";
import {
  idsOf,
  kafkaEnv,
  reserveIds,
  violations,
  watchTopics,
  type Acknowledged,
  type TopicWatch,
} from "../support/oracle.ts";
import { registration } from "../support/people.ts";
import { freePort } from "../support/ports.ts";
import { startService, type TestService } from "../support/service.ts";

describeWithKafka("outbox replay and topics", () => {
  let dir: string;
  let kafka: RunningKafka;
  let service: TestService;
  let watch: TopicWatch;
  let tooMany: CliOutcome;
  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), "identity-replay-"));
    kafka = await startKafka({ dir });
    service = await startService(kafkaEnv(kafka));
    const ids = await reserveIds(service);
    tooMany = await cli("topics", "--partitions", "2", "--replication", "3");
    // Three partitions, so none came to be before.
    expect(await cli("topics", "--partitions", "3", "--replication", "1")).toMatchObject({ code: 0, stderr: "" });
    watch = await watchTopics(kafka, ids);
  }, 180_000);
  afterAll(async () => {
    await watch.stop();
    await service.stop();
    await kafka.stop();
    await rm(dir, { recursive: true, force: true });
  });

  const cli = (...args: string[]) => runCli(service.env, args);
  const register = (): Promise<Acknowledged> =>
    // On a busy machine hashing may refuse some: then nothing has happened.
    eventually("somebody is registered", async () => {
      const body = registration();
      const answer = await service.client().post("/api/v1/users/customers/", body);
      return answer.status === 201 ? { id: Number(answer.json()["id"]), email: body.email } : undefined;
    });
  const change = (userId: number) =>
    service.query(
      `with bumped as (update users set version = version + 1 where id = $2 returning version)
       insert into outbox (id, user_id, version, type, data) select $1, $2, version, 'user.email_verified', '{}' from bumped`,
      [randomUUID(), userId],
    );
  const allPublished = () =>
    eventually(
      "all is published, again",
      async () => {
        const open = "select 1 from outbox where published_at is null union all select 1 from outbox_replays";
        return (await service.query(`${open} where carried_out_at is null`)).length === 0 ? true : undefined;
      },
      45_000,
    );
  const versions = (userId: number) =>
    watch.ofUser(userId, "user_events").map(({ value }) => (JSON.parse(value) as { version: number }).version);

  test("replay, while changes go on: the same ids in order, and nothing newer overtakes them", async () => {
    const people = [await register(), await register(), await register()];
    for (const { id } of people) for (let round = 0; round < 20; round++) await change(id);
    await allPublished();
    await watch.caughtUp();
    const before = new Map(people.map(({ id }) => [id, idsOf(watch.ofUser(id, "user_events"))]));
    const reviews = watch.messages().filter(({ topic }) => topic === "user_review").length;

    const replayed = new AbortController();
    const busy = (async () => {
      while (!replayed.signal.aborted) {
        for (const { id } of people) await change(id);
        // Not faster than a relay on a busy machine.
        await sleep(20);
      }
    })();
    const outcome = await cli("outbox", "replay", "--from", "2020-01-01", "--topic", "user_events", "--json");
    expect(outcome).toMatchObject({ code: 0, stderr: "" });
    expect((JSON.parse(outcome.stdout) as { replayed: number }).replayed).toBeGreaterThanOrEqual(63);
    await eventually("the first version came again", () =>
      versions(people[0]?.id ?? 0).filter((v) => v === 1).length > 1 ? true : undefined,
    );
    replayed.abort();
    await busy;
    await allPublished();
    await watch.caughtUp();

    for (const { id } of people) {
      const heard = versions(id);
      const again = heard.slice(heard.lastIndexOf(1));
      // Whoever begins to read with the replay gets everything, in order.
      expect(again).toEqual(again.map((_, index) => index + 1));
      expect(again.length).toBeGreaterThan(21);
      expect(idsOf(watch.ofUser(id, "user_events")).slice(0, 21)).toEqual(before.get(id));
    }
    expect(watch.messages().filter(({ topic }) => topic === "user_review")).toHaveLength(reviews);
    expect(await violations(service, watch, people)).toEqual([]);
  }, 120_000);

  test("topics, again and with other numbers: shown, and not changed", async () => {
    const outcome = await cli("topics", "--partitions", "9", "--json");
    expect(outcome).toMatchObject({ code: 0, stderr: "" });
    const shown = JSON.parse(outcome.stdout) as { topic: string; partitions: number; created: boolean }[];
    expect(shown.map(({ topic }) => topic).toSorted()).toEqual([
      "user_events",
      "user_menu",
      "user_order",
      "user_restaurant",
      "user_review",
    ]);
    for (const { partitions, created } of shown) expect([partitions, created]).toEqual([3, false]);
  });

  test("topics, with more replicas than brokers: 1, with Kafka's reason", () => {
    expect([tooMany.code, tooMany.stdout]).toEqual([1, ""]);
    expect(tooMany.stderr).toMatch(/^Kafka: .*replication/i);
    expect(tooMany.stderr).not.toMatch(/\n\s+at /);
  });

  test("topics, without a broker: 1, and with none configured: 78 and the name of the variable", async () => {
    const away = await runCli({ ...service.env, KAFKA_BOOTSTRAP_SERVER_PORT: String(await freePort()) }, ["topics"]);
    expect([away.code, away.stdout, away.stderr]).toEqual([1, "", expect.stringMatching(/^Kafka: unreachable: /)]);
    const none = await runCli({ ...service.env, KAFKA_BOOTSTRAP_SERVER_HOST: "" }, ["topics"]);
    expect([none.code, none.stderr]).toEqual([78, expect.stringContaining("KAFKA_BOOTSTRAP_SERVER_HOST is required")]);
    expect(away.stderr + none.stderr).not.toContain(kafka.password);
  });

  test("retry and skip, of what is not parked: 1, and the id is named", async () => {
    const id = randomUUID();
    for (const command of ["retry", "skip"]) {
      const outcome = await cli("outbox", command, id);
      expect(outcome).toEqual({
        code: 1,
        stdout: "",
        stderr: `No parked change has the id ${id}: see outbox status.\n`,
      });
    }
    expect(await cli("outbox", "retry", "--all")).toMatchObject({
      code: 0,
      stdout: "0 changes will be tried again.\n",
    });
    expect((await cli("outbox", "purge")).code).toBe(64);
  });
});
