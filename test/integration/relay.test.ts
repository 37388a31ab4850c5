import { afterAll, afterEach, beforeAll, expect, test } from "@jest/globals";
import { randomUUID } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startKafka, type RunningKafka } from "../../scripts/kafka/broker.ts";
import { loadConfig } from "../../lib/config.ts";
import { silentLog } from "../../lib/log.ts";
import { startNode, type RunningNode } from "../../node.ts";
import { connectKafka } from "../../services/events/kafka.ts";
import { eventually } from "../support/eventually.ts";
import { describeWithKafka } from "../support/kafka.ts";
import {
  idsOf,
  kafkaEnv,
  reserveIds,
  violations,
  watchTopics,
  type Acknowledged,
  type IdRange,
  type TopicWatch,
} from "../support/oracle.ts";
import { registration } from "../support/people.ts";
import { freePort } from "../support/ports.ts";
import { createStand, startService, type TestStand } from "../support/service.ts";
import { startTcpProxy } from "../support/tcp-proxy.ts";

/** Different numbers, so that a partition counted from the wrong topic shows. */
const partitions: Readonly<Record<string, number>> = {
  user_order: 2,
  user_review: 3,
  user_restaurant: 4,
  user_events: 5,
};
/** Made by the test that misses it. */
const missingTopic = "user_menu";

let cleanUps: (() => Promise<unknown>)[] = [];
const endAll = async () => {
  for (const cleanUp of cleanUps.toReversed()) await cleanUp();
  cleanUps = [];
};

interface Registered extends Acknowledged {
  readonly at: number;
}

async function register(stand: TestStand, path = "customers", profile: Record<string, string> = {}) {
  const body = registration();
  const answer = await stand
    .client()
    .post(`/api/v1/users/${path}/`, { ...body, user_profile: { ...body.user_profile, ...profile } });
  expect([answer.status, answer.text]).toEqual([201, expect.any(String)]);
  const registered: Registered = { id: Number(answer.json()["id"]), email: body.email, at: Date.now() };
  return registered;
}

/** A change as a transaction writes it; the account's version goes with it. @returns its id */
async function change(stand: TestStand, userId: number, type: string, data: object = {}): Promise<string> {
  const id = randomUUID();
  await stand.query(
    `with bumped as (update users set version = version + 1 where id = $2 returning version)
     insert into outbox (id, user_id, version, type, data) select $1, $2, version, $3, $4 from bumped`,
    [id, userId, type, data],
  );
  return id;
}

const published = (stand: TestStand, id: string) =>
  eventually(`change ${id} is published`, async () => {
    const rows = await stand.query("select from outbox where id = $1 and published_at is not null", [id]);
    return rows.length === 1 ? true : undefined;
  });
const isPublished = async (stand: TestStand, id: string) =>
  (await stand.query("select from outbox where id = $1 and published_at is not null", [id])).length === 1;

const changeOf = async (stand: TestStand, userId: number, version = 1) => {
  type Row = { id: string; occurred_at: Date };
  const where = "where user_id = $1 and version = $2";
  const [row] = await stand.query<Row>(`select id, occurred_at from outbox ${where}`, [userId, version]);
  if (!row) throw new Error("no such change");
  return row;
};

describeWithKafka("relay", () => {
  let dir: string;
  let kafka: RunningKafka;

  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), "identity-relay-"));
    kafka = await startKafka({ dir });
    await createTopics(partitions);
  }, 180_000);
  afterEach(endAll, 60_000);
  afterAll(async () => {
    await kafka.stop();
    await rm(dir, { recursive: true, force: true });
  });

  async function createTopics(counts: Readonly<Record<string, number>>): Promise<void> {
    const { sasl, user, password } = kafka;
    const port = connectKafka({ brokers: [sasl], user, password, mechanism: "plain", ssl: undefined }, silentLog);
    await port.createTopics(
      Object.entries(counts).map(([topic, count]) => ({ topic, partitions: count, replication: 1 })),
    );
    await port.close();
  }

  /** All services, and everything that Kafka hears of their users. */
  async function service(): Promise<{ stand: TestStand; watch: TopicWatch; ids: IdRange }> {
    const stand = await startService(kafkaEnv(kafka));
    cleanUps.push(() => stand.stop());
    const ids = await reserveIds(stand);
    return { stand, ids, watch: await watching(ids) };
  }
  async function watching(ids: IdRange, topics = Object.keys(partitions)): Promise<TopicWatch> {
    const watch = await watchTopics(kafka, ids, topics);
    cleanUps.push(() => watch.stop());
    return watch;
  }

  /** The broker is killed, and comes back with the data of before. */
  async function whileAway(work: () => Promise<void>): Promise<void> {
    kafka.kill();
    await kafka.exited;
    try {
      await work();
    } finally {
      kafka = await startKafka({ dir, ports: kafka.ports });
    }
  }

  const name = { first_name: "Zoë", last_name: "Łącka 😀" };
  const asciiName = "Zo\\u00eb \\u0141\\u0105cka \\ud83d\\ude00";
  const picture = (stand: TestStand) => `${stand.url}/media/default-avatar.svg`;

  test.each([
    [
      "customers",
      "CU",
      "CustomerCreatedEvent",
      {
        user_order: (id: number) => `{"id":${id}}`,
        user_review: (id: number, url: string) => `{"id":${id},"full_name":"${asciiName}","image_url":"${url}"}`,
      },
    ],
    [
      "couriers",
      "CO",
      "CourierCreatedEvent",
      { user_order: (id: number) => `{"id":${id}}`, user_review: (id: number) => `{"id":${id}}` },
    ],
  ] as const)("registration of %s: exactly the contract's messages", async (path, role, event, expected) => {
    const { stand, watch } = await service();
    const { id } = await register(stand, path, name);
    const { id: changeId, occurred_at: at } = await changeOf(stand, id);
    await published(stand, changeId);
    await watch.caughtUp();

    const headers = {
      ce_specversion: "1.0",
      ce_id: changeId,
      ce_source: "/user-management",
      ce_time: at.toISOString(),
      ce_subject: String(id),
    };
    for (const [topic, value] of Object.entries(expected)) {
      expect(watch.ofUser(id, topic)).toEqual([
        expect.objectContaining({
          partition: id % (partitions[topic] ?? 0),
          key: event,
          value: value(id, picture(stand)),
          headers: expect.objectContaining({ ...headers, ce_type: event }),
        }),
      ]);
    }
    expect(watch.ofUser(id, "user_events")).toEqual([
      expect.objectContaining({
        partition: id % 5,
        key: String(id),
        value: `{"id":${id},"type":"user.registered","version":1,"occurred_at":"${at.toISOString()}","data":{"role":"${role}"}}`,
        headers: expect.objectContaining({ ...headers, ce_type: "user.registered" }),
      }),
    ]);
    const topics = watch.ofUser(id).map(({ topic }) => topic);
    expect(topics.toSorted()).toEqual([...Object.keys(expected), "user_events"].toSorted());
  });

  test("registration: every message carries the traceparent of the request", async () => {
    const { stand, watch } = await service();
    const { id } = await register(stand);
    await published(stand, (await changeOf(stand, id)).id);
    await watch.caughtUp();
    const found = watch.ofUser(id).map(({ headers }) => headers["traceparent"]);
    expect(found).toHaveLength(3);
    expect(new Set(found).size).toBe(1);
    expect(found[0]).toMatch(/^00-[0-9a-f]{32}-[0-9a-f]{16}-0[01]$/);
  });

  test("very long name: cut to 254 characters, not in the middle of one", async () => {
    const { stand, watch } = await service();
    const { id } = await register(stand, "customers", { first_name: "A".repeat(252), last_name: "😀".repeat(50) });
    await published(stand, (await changeOf(stand, id)).id);
    await watch.caughtUp();
    const [review] = watch.ofUser(id, "user_review");
    const { full_name: fullName } = JSON.parse(review?.value ?? "{}") as { full_name: string };
    expect(fullName).toBe(`${"A".repeat(252)} 😀`);
  });

  test("a missing topic: holds the managers who need it and nobody else, and goes on when it is made", async () => {
    const { stand, watch, ids } = await service();
    const managers = await Promise.all([register(stand, "managers", name), register(stand, "managers")]);
    const customer = await register(stand);
    await published(stand, (await changeOf(stand, customer.id)).id);
    const [manager] = managers;
    const later = await change(stand, manager.id, "user.email_verified");
    const held = await eventually("both are held, with the reason", async () => {
      const rows = await stand.query<{ last_error: string }>(
        "select last_error from outbox where version = 1 and published_at is null and last_error is not null",
      );
      return rows.length === 2 ? rows : undefined;
    });
    for (const { last_error: reason } of held) expect(reason).toContain(missingTopic);
    const customers = [await register(stand), await register(stand, "couriers")];
    for (const { id } of customers) await published(stand, (await changeOf(stand, id)).id);
    expect(await isPublished(stand, later)).toBe(false);

    await createTopics({ [missingTopic]: 6 });
    await stand.query("update outbox set next_attempt_at = now() where published_at is null");
    await published(stand, later);
    await watch.stop();
    const all = await watching(ids, [...Object.keys(partitions), missingTopic]);
    expect(await violations(stand, all, [...managers, customer, ...customers])).toEqual([]);
    for (const { id } of managers) {
      const { id: changeId } = await changeOf(stand, id);
      for (const topic of ["user_restaurant", missingTopic, "user_order"]) {
        for (const { key, value, headers, partition } of all.ofUser(id, topic)) {
          expect([key, value]).toEqual(["RestaurantManagerCreatedEvent", `{"id":${id}}`]);
          expect([headers["ce_id"], partition]).toEqual([changeId, id % { ...partitions, [missingTopic]: 6 }[topic]!]);
        }
      }
    }
  });

  test("several changes of one user: in order, each in the user's partition", async () => {
    const { stand, watch } = await service();
    const people = await Promise.all([register(stand), register(stand, "couriers"), register(stand)]);
    const types = ["user.email_verified", "user.deactivated", "user.reactivated", "user.password_changed"];
    const renamed = { role: "CU", full_name: "Zoë", image_url: "http://x/y.svg", seen_by_others: true };
    await Promise.all(
      people.map(async ({ id }) => {
        for (let round = 0; round < 10; round++) for (const type of types) await change(stand, id, type);
        await change(stand, id, "user.profile_updated", renamed);
      }),
    );
    expect(await violations(stand, watch, people)).toEqual([]);
    const [{ id }] = people;
    const seen = watch
      .ofUser(id, "user_events")
      .map(({ value }) => JSON.parse(value) as { version: number; data: object });
    expect(seen.map(({ version }) => version)).toEqual(Array.from({ length: 42 }, (_, index) => index + 1));
    expect(seen[1]?.data).toEqual({});
    expect(seen.at(-1)?.data).toEqual({ full_name: "Zoë", image_url: "http://x/y.svg" });
    expect(watch.ofUser(id, "user_review").at(-1)).toMatchObject({
      key: "CustomerUpdatedEvent",
      value: `{"id":${id},"full_name":"Zo\\u00eb","image_url":"http://x/y.svg"}`,
    });
  });

  test("a poison row: holds its own user, visibly, and nobody else", async () => {
    const { stand, watch } = await service();
    const [poisoned, other] = await Promise.all([register(stand), register(stand)]);
    const poison = await change(stand, poisoned.id, "user.enchanted", { note: "x" });
    const behind = await change(stand, poisoned.id, "user.email_verified");
    const free = await change(stand, other.id, "user.email_verified");
    await published(stand, free);
    await eventually("the poison is marked", async () => {
      const [row] = await stand.query<{ attempts: number; last_error: string | null }>(
        "select attempts, last_error from outbox where id = $1",
        [poison],
      );
      return row && row.attempts > 0 && row.last_error !== null ? row : undefined;
    });
    await published(stand, (await changeOf(stand, (await register(stand)).id)).id);
    await published(stand, (await changeOf(stand, poisoned.id)).id);
    expect([await isPublished(stand, poison), await isPublished(stand, behind)]).toEqual([false, false]);
    await watch.caughtUp();
    const versions = watch
      .ofUser(poisoned.id, "user_events")
      .map(({ value }) => (JSON.parse(value) as { version: number }).version);
    expect([...new Set(versions)]).toEqual([1]);
  });

  test("a registration with a role that nobody knows: not published with a guess", async () => {
    const { stand, watch } = await service();
    const { id } = await register(stand);
    const odd = await change(stand, id, "user.registered", { role: "XX" });
    const later = await register(stand);
    await published(stand, (await changeOf(stand, later.id)).id);
    await eventually("it was tried", async () => {
      const rows = await stand.query(
        "select from outbox where id = $1 and (published_at is not null or attempts > 0)",
        [odd],
      );
      return rows.length === 1 ? true : undefined;
    });
    await watch.caughtUp();
    expect(idsOf(watch.ofUser(id))).not.toContain(odd);
  });

  test("two relays at once, one after the other losing its lock: nothing reordered, nothing lost", async () => {
    const { stand, watch } = await service();
    const second: RunningNode = await startNode(loadConfig({ ...stand.env, SERVICES: "events" }), silentLog);
    cleanUps.push(() => second.stop());
    const people = await Promise.all(Array.from({ length: 6 }, () => register(stand)));
    const work = Promise.all(
      people.map(async ({ id }) => {
        for (let round = 0; round < 40; round++) await change(stand, id, "user.email_verified");
      }),
    );
    // The holder does not notice at once: its connection dies while it publishes.
    const cutLeader = () =>
      stand.query(
        `select pg_terminate_backend(l.pid) from pg_locks l join pg_database d on d.oid = l.database
         where l.locktype = 'advisory' and l.granted and d.datname = current_database()`,
      );
    let cuts = 0;
    await eventually("the leader was cut four times", async () => {
      const cut = await cutLeader();
      cuts += cut.length;
      if (cut.length > 0) await published(stand, await change(stand, people[0]?.id ?? 0, "user.email_verified"));
      return cuts >= 4 ? true : undefined;
    });
    await work;
    expect(await violations(stand, watch, people)).toEqual([]);
  }, 60_000);

  test("Kafka away, then back: registrations go on, and everything arrives in order", async () => {
    const { stand, watch, ids } = await service();
    const before = await register(stand);
    await published(stand, (await changeOf(stand, before.id)).id);
    await watch.stop();
    const people = [before];
    await whileAway(async () => {
      for (let count = 0; count < 5; count++) people.push(await register(stand));
      for (const { id } of people) await change(stand, id, "user.email_verified");
    });
    const after = await watching(ids);
    expect(await violations(stand, after, people)).toEqual([]);
  }, 90_000);

  test("Kafka away: readiness says degraded, and ok when it is back", async () => {
    const { stand, watch } = await service();
    const readiness = async () => {
      const { status, text } = await stand.client().get("/health/ready");
      return [status, JSON.parse(text)] as const;
    };
    await watch.stop();
    const ok = [200, { status: "ok", checks: { database: "ok", kafka: "ok", smtp: "ok" } }];
    expect(await readiness()).toEqual(ok);
    await whileAway(async () => {
      const checks = { database: "ok", kafka: "degraded", smtp: "ok" };
      const degraded = JSON.stringify([200, { status: "degraded", checks }]);
      await eventually("it is degraded", async () =>
        JSON.stringify(await readiness()) === degraded ? true : undefined,
      );
    });
    await eventually("it is ok again", async () =>
      JSON.stringify(await readiness()) === JSON.stringify(ok) ? true : undefined,
    );
  }, 90_000);

  test.each(["refuses", "never answers"])("a Kafka that %s: no registration waits for it", async (how) => {
    const hole = await startTcpProxy({ host: "127.0.0.1", port: await freePort() });
    hole.blackhole();
    cleanUps.push(() => hole.stop());
    const port = how === "refuses" ? await freePort() : hole.port;
    const stand = await startService({ ...kafkaEnv(kafka), KAFKA_BOOTSTRAP_SERVER_PORT: String(port) });
    cleanUps.push(() => stand.stop());
    const times: number[] = [];
    for (let count = 0; count < 10; count++) {
      const began = performance.now();
      await register(stand);
      times.push(performance.now() - began);
    }
    expect(Math.max(...times.slice(1))).toBeLessThan(500);
    expect(await stand.query("select from outbox where published_at is null")).toHaveLength(10);
  });

  test("no Kafka at first, then one is configured: what waited is delivered", async () => {
    const stand = await createStand();
    cleanUps.push(() => stand.stop());
    const watch = await watching(await reserveIds(stand));
    const without = await startNode(loadConfig(stand.env), silentLog);
    const people = await Promise.all([register(stand), register(stand, "couriers")]);
    await without.stop();
    const withKafka = await startNode(loadConfig({ ...stand.env, ...kafkaEnv(kafka), SERVICES: "events" }), silentLog);
    cleanUps.push(() => withKafka.stop());
    expect(await violations(stand, watch, people)).toEqual([]);
  });
});
