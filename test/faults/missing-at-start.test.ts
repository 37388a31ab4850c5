import { afterEach, beforeEach, expect, test } from "@jest/globals";
import { randomInt } from "node:crypto";
import { eventually } from "../support/eventually.ts";
import { describeWithKafka, kafkaForTests, type TestKafka } from "../support/kafka.ts";
import { startMailSink, type MailSink } from "../support/mail-sink.ts";
import { describeWithNats, startNats, type RunningNats } from "../support/nats.ts";
import { audit, aroundProxy, createContractTopics, kafkaEnv, reserveIds, watchTopics } from "../support/oracle.ts";
import { registration } from "../support/people.ts";
import { startProcess, type ServiceProcess } from "../support/process.ts";
import { oneOf, randomFrom } from "../support/random.ts";
import { createStand, type TestStand } from "../support/service.ts";
import { startTcpProxy, type TcpProxy } from "../support/tcp-proxy.ts";

/** Row 31 of the fault table: the service is started while what it stands on is not there. */
type Dependency = "database" | "kafka" | "smtp" | "transporter";
let proxies: Record<Dependency, TcpProxy>;
let nats: RunningNats;
let kafka: TestKafka;
let sink: MailSink;
let stand: TestStand;
let node: ServiceProcess;

async function health(path: "live" | "ready"): Promise<unknown> {
  const { status, text } = await stand.client().get(`/health/${path}`);
  return [status, JSON.parse(text)];
}
const becomes = (path: "live" | "ready", wanted: unknown) => {
  let last: unknown;
  return eventually(
    `/health/${path} is ${JSON.stringify(wanted)}`,
    async () => {
      last = await health(path);
      return JSON.stringify(last) === JSON.stringify(wanted) ? true : undefined;
    },
    30_000,
  ).catch((error: unknown) => {
    throw new Error(`it is ${JSON.stringify(last)}`, { cause: error });
  });
};
const register = async () => {
  const body = registration();
  const answer = await stand.client().post("/api/v1/users/customers/", body);
  return { status: answer.status, id: Number(answer.json()["id"]), email: body.email };
};

describeWithNats("started with a transporter", () => {
  describeWithKafka("while everything is missing", () => {
    beforeEach(async () => {
      kafka = await kafkaForTests();
      await createContractTopics(kafka);
      nats = await startNats();
      sink = await startMailSink();
      stand = await createStand({ NODE_ENV: "production", PASSWORD_HASH_COST: "10" });
      const proxied = async (port: number) => {
        const proxy = await startTcpProxy({ host: "127.0.0.1", port });
        await proxy.refuse();
        return proxy;
      };
      proxies = {
        database: await proxied(stand.database.port),
        // Bootstrap alone: what the broker tells of itself leads around the proxy.
        kafka: await proxied(Number(kafka.plaintext.split(":")[1])),
        smtp: await proxied(sink.port),
        transporter: await proxied(Number(new URL(nats.url).port)),
      };
      const { port } = proxies.kafka;
      const own = {
        PG_PORT: String(proxies.database.port),
        EMAIL_PORT: String(proxies.smtp.port),
        TRANSPORTER: `nats://127.0.0.1:${proxies.transporter.port}`,
        ...kafkaEnv({ ...aroundProxy(kafka), sasl: `127.0.0.1:${port}` }),
      };
      node = startProcess({ ...stand.env, ...own });
    }, 180_000);
    afterEach(async () => {
      await node.kill();
      for (const proxy of Object.values(proxies)) await proxy.stop();
      await stand.stop();
      await sink.stop();
      await nats.stop();
    }, 60_000);

    test("the database makes it ready, what else is missing degraded; each is found when it comes, in any order", async () => {
      await becomes("live", [200, { status: "ok", checks: {} }]);
      const checks: Record<Dependency, string> = {
        database: "down",
        kafka: "degraded",
        smtp: "degraded",
        transporter: "degraded",
      };
      await becomes("ready", [503, { status: "down", checks }]);
      expect((await register()).status).toBe(503);

      const seed = randomInt(2 ** 31);
      const random = randomFrom(seed);
      const missing = new Set<Dependency>(["database", "kafka", "smtp", "transporter"]);
      const ids = await reserveIds(stand);
      const acknowledged: { id: number; email: string }[] = [];
      try {
        while (missing.size > 0) {
          const next = oneOf(random, [...missing]);
          missing.delete(next);
          await proxies[next].restore();
          checks[next] = "ok";
          const status = missing.has("database") ? "down" : missing.size > 0 ? "degraded" : "ok";
          await becomes("ready", [status === "down" ? 503 : 200, { status, checks }]);
          if (missing.has("database")) continue;
          const { status: answered, ...registered } = await register();
          expect(answered).toBe(201);
          acknowledged.push(registered);
        }
        const watch = await watchTopics(kafka, ids);
        const { findings } = await audit(stand, watch, acknowledged, { mails: sink.mails });
        await watch.stop();
        expect(findings).toEqual([]);
      } catch (error) {
        throw new Error(`seed ${seed}`, { cause: error });
      }
    }, 120_000);
  });
});
