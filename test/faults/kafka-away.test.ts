import { afterEach, beforeEach, expect, test } from "@jest/globals";
import { randomInt } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freeKafkaPorts, startKafka, type RunningKafka } from "../../scripts/kafka/broker.ts";
import { Client } from "../support/client.ts";
import { eventually } from "../support/eventually.ts";
import { describeWithKafka, type TestKafka } from "../support/kafka.ts";
import { signUpModerator, startLoad, type Journal } from "../support/load.ts";
import { startMailSink, type MailSink } from "../support/mail-sink.ts";
import {
  audit,
  createContractTopics,
  kafkaEnv,
  watchTopics,
  type Acknowledged,
  type Audit,
} from "../support/oracle.ts";
import { password, registration } from "../support/people.ts";
import { startProcess, type ServiceProcess } from "../support/process.ts";
import { randomFrom } from "../support/random.ts";
import { rolesClient } from "../support/roles-client.ts";
import { createStand, type TestStand } from "../support/service.ts";
import { startTcpProxy, type TcpProxy } from "../support/tcp-proxy.ts";

/** Rows 5, 9 and 10 of the fault table, in their short form: `npm run chaos` and `npm run bench -- --row kafkaAway` are the long ones. */
let dir: string;
let broker: RunningKafka;
let proxy: TcpProxy;
let sink: MailSink;
let stand: TestStand;
let node: ServiceProcess | undefined;
let kafka: TestKafka;

const everybody = { from: 1, below: Infinity };

async function startNode(changes: Readonly<Record<string, string>> = {}): Promise<ServiceProcess> {
  node = startProcess({ ...stand.env, ...changes });
  await node.ready();
  return node;
}

/** Some people live for a while. */
async function load(people: number, until: Promise<unknown>): Promise<Journal> {
  const seed = randomInt(2 ** 31);
  const stop = new AbortController();
  const moderator = await signUpModerator(stand.url, stand);
  const options = { urls: [stand.url], moderator, people, pauseMs: 20, random: randomFrom(seed), stop: stop.signal };
  const { journal, ended } = startLoad(options);
  await until.finally(() => stop.abort());
  await ended;
  expect(journal.unexpected).toEqual([]);
  return journal;
}

async function audited(acknowledged: readonly Acknowledged[] = []): Promise<Audit> {
  const watch = await watchTopics(kafka, everybody);
  try {
    return await audit(stand, watch, acknowledged, { mails: sink.mails });
  } finally {
    await watch.stop();
  }
}
const unpublished = async () => (await stand.query("select from outbox where published_at is null")).length;
const readiness = async () => {
  const { status, text } = await stand.client().get("/health/ready");
  const { status: overall, checks } = JSON.parse(text) as { status: string; checks: Record<string, string> };
  return [status, overall, checks["kafka"]].join();
};
const becomes = (wanted: string) =>
  eventually(`readiness is ${wanted}`, async () => ((await readiness()) === wanted ? true : undefined), 30_000);

describeWithKafka("Kafka away", () => {
  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), "identity-kafka-away-"));
    const ports = await freeKafkaPorts();
    proxy = await startTcpProxy({ host: "127.0.0.1", port: ports.sasl });
    broker = await startKafka({ dir, ports, advertisedSasl: proxy.port });
    const { user, password: secret, plaintext } = broker;
    kafka = { plaintext, sasl: `127.0.0.1:${proxy.port}`, user, password: secret };
    await createContractTopics(kafka);
    sink = await startMailSink();
    stand = await createStand({ ...kafkaEnv(kafka), EMAIL_PORT: String(sink.port) });
  }, 180_000);
  afterEach(async () => {
    await node?.kill();
    node = undefined;
    await stand.stop();
    await sink.stop();
    await proxy.stop();
    await broker.stop();
    await rm(dir, { recursive: true, force: true });
  }, 60_000);

  test("the broker is dead under load: REST and gRPC go on, and the backlog drains in order when it is back", async () => {
    await startNode();
    await becomes("200,ok,ok");
    broker.kill();
    await broker.exited;
    await becomes("200,degraded,degraded");

    const journal = await load(
      4,
      eventually("a backlog of 150 changes", async () => ((await unpublished()) >= 150 ? true : undefined)),
    );
    const client = new Client(stand.url);
    const body = registration();
    const registered = await client.post("/api/v1/users/customers/", body);
    await stand.query("update users set is_email_verified = true where id = $1", [registered.json()["id"]]);
    expect((await new Client(stand.url).post("/api/v1/tokens/", { email: body.email, password })).status).toBe(200);
    const roles = rolesClient(stand.grpcAddress);
    const role = await roles.getUserRole(client.cookie("access_token") ?? "");
    roles.close();
    expect(role).toEqual({ user_id: String(registered.json()["id"]), role: "USER_ROLE_CUSTOMER" });

    broker = await startKafka({ dir, ports: broker.ports, advertisedSasl: proxy.port });
    await becomes("200,ok,ok");
    expect(await audited(journal.acknowledged)).toMatchObject({ findings: [] });
  }, 120_000);

  test("the broker is a black hole: nobody waits, the relay gives up and tries again, and a stop is in time", async () => {
    const running = await startNode();
    const registering = async (count: number): Promise<number> => {
      const times: number[] = [];
      for (let nth = 0; nth < count; nth++) {
        const began = performance.now();
        expect((await stand.client().post("/api/v1/users/couriers/", registration())).status).toBe(201);
        times.push(performance.now() - began);
      }
      return times.toSorted((a, b) => a - b)[Math.floor(count / 2)] ?? NaN;
    };
    await registering(10);
    const before = await registering(20);
    await eventually("all is published", async () => ((await unpublished()) === 0 ? true : undefined));

    proxy.blackhole();
    const during = await registering(20);
    // Not a measurement, which needs a quiet machine: nobody waits for Kafka, whose deadline is 10 s.
    expect(during).toBeLessThan(before * 2 + 100);
    await eventually(
      "the relay has given up once",
      () => (/event relay failed.*did not answer in time/.test(running.stdout()) ? true : undefined),
      30_000,
    );
    expect(await unpublished()).toBe(20);
    await proxy.restore();
    expect(await audited()).toMatchObject({ findings: [] });

    proxy.blackhole();
    await registering(3);
    // Fails unless it exits with 0 within 15 s.
    await running.stop();
    await proxy.restore();
    await startNode();
    expect(await audited()).toMatchObject({ findings: [] });
  }, 120_000);

  test("its password is another one: nothing is held, and the relay goes on by itself when they agree, twice", async () => {
    const theirs = { user: broker.user, password: broker.password };
    const ours = { ...theirs, password: "the-password-of-tomorrow-0123456789" };
    const restartWith = async (credentials: typeof ours) => {
      broker.kill();
      await broker.exited;
      broker = await startKafka({ dir, ports: broker.ports, advertisedSasl: proxy.port, credentials });
      kafka = { ...kafka, password: credentials.password };
    };
    const running = await startNode({ KAFKA_BROKER_PASSWORD: ours.password });
    const acknowledged: { id: number; email: string }[] = [];
    for (const time of ["at the start", "while it runs"]) {
      if (time === "while it runs") await restartWith(theirs);
      await becomes("200,degraded,degraded");
      for (let nth = 0; nth < 5; nth++) {
        const body = registration();
        const answer = await stand.client().post("/api/v1/users/managers/", body);
        expect([time, answer.status]).toEqual([time, 201]);
        acknowledged.push({ id: Number(answer.json()["id"]), email: body.email });
      }
      await eventually(`${time}: the log says why`, () =>
        /event relay failed.*authentication failed/i.test(running.stdout()) ? true : undefined,
      );
      expect(await stand.query("select from outbox where published_at is null and attempts > 0")).toEqual([]);
      await restartWith(ours);
      await becomes("200,ok,ok");
      expect(await audited(acknowledged)).toMatchObject({ findings: [] });
    }
    for (const secret of [ours.password, theirs.password]) expect(running.stdout()).not.toContain(secret);
  }, 120_000);
});
