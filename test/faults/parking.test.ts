import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { randomUUID } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startKafka, type RunningKafka } from "../../scripts/kafka/broker.ts";
import { silentLog } from "../../lib/log.ts";
import { openClient } from "../../services/events/kafkajs-client.ts";
import { runCli } from "../support/cli.ts";
import { eventually } from "../support/eventually.ts";
import { describeWithKafka } from "../support/kafka.ts";
import { kafkaEnv, reserveIds, violations, watchTopics, type Acknowledged } from "../support/oracle.ts";
import { registration } from "../support/people.ts";
import { freePort } from "../support/ports.ts";
import { startService, type TestService } from "../support/service.ts";

/** Five attempts take 4 to 8 s, and each is cut into halves; much longer on a busy machine. */
const slowMs = 45_000;

/** FAULTS.md, rows 8 and 33: what cannot be published by itself. */
describeWithKafka("parking", () => {
  let dir: string;
  let kafka: RunningKafka;
  let service: TestService;
  let metricsPort: number;
  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), "identity-parking-"));
    kafka = await startKafka({ dir });
    metricsPort = await freePort();
    service = await startService({ ...kafkaEnv(kafka), METRICS_PORT: String(metricsPort) });
  }, 180_000);
  afterAll(async () => {
    await service.stop();
    await kafka.stop();
    await rm(dir, { recursive: true, force: true });
  });

  const cli = (...args: string[]) => runCli(service.env, args);
  async function register(path: string): Promise<Acknowledged> {
    const body = registration();
    const answer = await service.client().post(`/api/v1/users/${path}/`, body);
    expect([answer.status, answer.text]).toEqual([201, expect.any(String)]);
    return { id: Number(answer.json()["id"]), email: body.email };
  }
  /** A change as a transaction writes it. */
  async function change(userId: number, type: string, data: object = {}): Promise<string> {
    const id = randomUUID();
    await service.query(
      `with bumped as (update users set version = version + 1 where id = $2 returning version)
       insert into outbox (id, user_id, version, type, data) select $1, $2, version, $3, $4 from bumped`,
      [id, userId, type, data],
    );
    return id;
  }
  const published = (id: string) =>
    eventually(
      `${id} is published`,
      async () => {
        const rows = await service.query("select from outbox where id = $1 and published_at is not null", [id]);
        return rows.length === 1 ? true : undefined;
      },
      slowMs,
    );
  const readiness = async () => {
    const { status, text } = await service.client().get("/health/ready");
    return [status, JSON.parse(text)] as const;
  };
  const metric = async (name: string) => {
    const text = await (await fetch(`http://127.0.0.1:${metricsPort}/metrics`)).text();
    return Number(new RegExp(`^${name} (.+)$`, "m").exec(text)?.[1]);
  };

  test("a missing topic, a record of 2 MB and a poison row: parked and shown, the rest flows, each has its remedy", async () => {
    const ids = await reserveIds(service);
    const env = { ...service.env, KAFKA_BOOTSTRAP_SERVER_PORT: kafka.sasl.split(":")[1] ?? "" };
    // All of them are made, and the one that managers need is taken away again below.
    expect(await runCli(env, ["topics", "--partitions", "2", "--replication", "1"])).toMatchObject({ code: 0 });
    await deleteTopic(kafka, "user_menu");

    const manager = await register("managers");
    const [large, poisoned, other] = [
      await register("customers"),
      await register("couriers"),
      await register("customers"),
    ];
    const tooLarge = await change(large.id, "user.profile_updated", {
      role: "CU",
      full_name: "x".repeat(2 ** 21),
      image_url: "http://x/y.svg",
      seen_by_others: true,
    });
    const poison = await change(poisoned.id, "user.enchanted", { note: "secret-note" });
    const behind = [
      await change(manager.id, "user.email_verified"),
      await change(large.id, "user.email_verified"),
      await change(large.id, "user.password_changed"),
      await change(poisoned.id, "user.email_verified"),
    ];

    const parked = await eventually(
      "three are parked",
      async () => {
        const rows = await service.query<{ id: string; user_id: number }>(
          "select id, user_id::int from outbox where parked_at is not null order by user_id",
        );
        return rows.length === 3 ? rows : undefined;
      },
      slowMs,
    );
    const managers = parked.find(({ user_id: user }) => user === manager.id)?.id ?? "";
    expect(parked.map(({ id }) => id).toSorted()).toEqual([managers, tooLarge, poison].toSorted());
    // Everybody else goes on.
    await published(await change(other.id, "user.email_verified"));
    const left = await service.query<{ attempts: number }>(
      "select user_id::int, version, type, attempts, last_error from outbox where published_at is null",
    );
    expect(left.map((row) => JSON.stringify(row))).toHaveLength(3 + behind.length);

    const status = await cli("outbox", "status", "--json");
    expect(status).toMatchObject({ code: 0, stderr: "" });
    expect(JSON.parse(status.stdout)).toMatchObject({
      unpublished: 7,
      parked: 3,
      held: 4,
      leader: true,
      replaying: false,
    });
    const { changes } = JSON.parse(status.stdout) as { changes: Record<string, unknown>[] };
    const shown = Object.fromEntries(changes.map(({ id, ...more }) => [String(id), more]));
    expect(shown[managers]).toMatchObject({ user_id: manager.id, type: "user.registered", attempts: 5, holds: 1 });
    expect(shown[managers]?.["reason"]).toContain("user_menu");
    expect(shown[tooLarge]).toMatchObject({ user_id: large.id, version: 2, attempts: 5, holds: 2 });
    expect(shown[poison]).toMatchObject({
      user_id: poisoned.id,
      reason: expect.stringContaining("user.enchanted"),
      holds: 1,
    });
    const forPeople = await cli("outbox", "status");
    expect(forPeople.stdout).toMatch(/parked +3\n/);
    expect(forPeople.stdout).toContain(`${poison}  user ${poisoned.id}, user.enchanted, version 2`);
    expect(forPeople.stdout + status.stdout).not.toContain("secret-note");
    expect(await readiness()).toEqual([200, expect.objectContaining({ status: "degraded" })]);
    await eventually("the metrics tell it", async () =>
      (await metric("identity_outbox_parked")) === 3 ? true : undefined,
    );
    expect(await metric("identity_outbox_held")).toBe(4);
    expect(await metric("identity_outbox_leader")).toBe(1);
    // The oldest that nothing holds: what is parked has an alarm of its own.
    expect(await metric("identity_outbox_oldest_seconds")).toBeLessThan(5);

    // The topic is made: nobody has to ask for another attempt. The 2 MB are given up, the poison row is mended by hand.
    const made = await runCli(env, ["topics", "--partitions", "2", "--replication", "1"]);
    expect(made.stdout).toContain("user_menu: created, partitions 2, replicas 1");
    expect(made.stdout).toContain("user_events: was there, partitions 2, replicas 1");
    const skipped = await cli("outbox", "skip", tooLarge);
    expect(skipped).toEqual({ code: 0, stderr: "", stdout: expect.stringContaining("version 2 is not told") });
    expect(
      await service.query("select subject_id::int, details ->> 'change_id' as id from audit_log where event = $1", [
        "outbox_change_skipped",
      ]),
    ).toEqual([{ subject_id: large.id, id: tooLarge }]);
    await service.query("update outbox set type = 'user.deactivated' where id = $1", [poison]);
    expect(await cli("outbox", "retry", poison)).toMatchObject({ code: 0, stderr: "" });
    for (const id of [managers, ...behind]) await published(id);

    const watch = await watchTopics(kafka, ids);
    try {
      expect(await violations(service, watch, [manager, large, poisoned, other])).toEqual([]);
      const heard = watch
        .ofUser(large.id, "user_events")
        .map(({ value }) => (JSON.parse(value) as { version: number }).version);
      expect([...new Set(heard)]).toEqual([1, 3, 4]);
    } finally {
      await watch.stop();
    }
    await eventually(
      "it is ready again",
      async () => ((await readiness())[1] as { status: string }).status === "ok" || undefined,
    );
  }, 150_000);
});

async function deleteTopic(kafka: RunningKafka, topic: string): Promise<void> {
  const settings = { brokers: [kafka.plaintext], user: undefined, password: undefined, mechanism: "plain" as const };
  const client = openClient({ ...settings, ssl: undefined }, silentLog, 10_000);
  const admin = client.kafka.admin();
  await admin.connect();
  await admin.deleteTopics({ topics: [topic] });
  await admin.disconnect();
  client.destroy();
}
