import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pino } from "pino";
import { silentLog } from "../../lib/log.ts";
import { connectKafka } from "../../services/events/kafka.ts";
import { allTopics } from "../../services/events/topics.ts";
import { createAuthority, type Authority, type Certificate } from "../support/certificates.ts";
import { eventually } from "../support/eventually.ts";
import { describeWithKafka } from "../support/kafka.ts";
import { reserveIds, violations, watchTopics, type Acknowledged, type IdRange } from "../support/oracle.ts";
import { registration } from "../support/people.ts";
import { startSecureKafka, type SecureKafka } from "../support/secure-kafka.ts";
import { startService, type TestService } from "../support/service.ts";

describeWithKafka("kafka: what was wrong with it is mended", () => {
  let folder: string;
  let authority: Authority;
  let good: Certificate;
  let kafka: SecureKafka;
  let service: TestService;
  let logged: string[];
  let ids: IdRange;
  const acknowledged: Acknowledged[] = [];

  beforeAll(async () => {
    logged = [];
    folder = await mkdtemp(join(tmpdir(), "kafka-mended-"));
    authority = await createAuthority();
    good = await authority.issue();
    await writeFile(join(folder, "ca.crt"), authority.cert);
    kafka = await startSecureKafka(good, authority.cert);
    const { user, password, ports } = kafka;
    const admin = connectKafka(
      { brokers: [`127.0.0.1:${ports.sasl}`], user, password, mechanism: "plain", ssl: undefined },
      silentLog,
    );
    await admin.createTopics(allTopics.map((topic) => ({ topic, partitions: 2, replication: 1 })));
    await admin.close();
    const env = {
      KAFKA_BOOTSTRAP_SERVER_HOST: "127.0.0.1",
      KAFKA_BOOTSTRAP_SERVER_PORT: String(ports.saslTls),
      KAFKA_BROKER_USER: user,
      KAFKA_BROKER_PASSWORD: password,
      KAFKA_SASL_MECHANISM: "scram-sha-512",
      KAFKA_SSL: "True",
      KAFKA_SSL_CA: join(folder, "ca.crt"),
    };
    service = await startService(env, {
      log: pino({ level: "debug" }, { write: (line: string) => void logged.push(line) }),
    });
    ids = await reserveIds(service);
  }, 180_000);
  afterAll(async () => {
    await service.stop();
    await kafka.stop();
    await rm(folder, { recursive: true });
  });

  async function register(): Promise<number> {
    const person = registration();
    const answer = await service.client().post("/api/v1/users/customers/", person);
    expect(answer.status).toBe(201);
    const id = Number(answer.json()["id"]);
    acknowledged.push({ id, email: person.email });
    return id;
  }
  const published = (userId: number) =>
    eventually(
      `user ${userId} is published`,
      async () => {
        const where = "where user_id = $1 and published_at is not null";
        return (await service.query(`select from outbox ${where}`, [userId])).length === 1 ? true : undefined;
      },
      60_000,
    );
  const readiness = (status: string) =>
    eventually(
      `Kafka is ${status}`,
      async () => {
        const answer = await service.client().get("/health/ready");
        expect(answer.status).toBe(200);
        return (answer.json()["checks"] as Record<string, string>)["kafka"] === status ? true : undefined;
      },
      30_000,
    );
  const told = (reason: RegExp) =>
    eventually(`the log says ${reason.source}`, () =>
      logged.some((line) => line.includes("event relay failed") && reason.test(line)) ? true : undefined,
    );

  async function oracle(): Promise<readonly string[]> {
    const { user, password, ports } = kafka;
    const plain = { plaintext: `127.0.0.1:${ports.plaintext}`, sasl: `127.0.0.1:${ports.sasl}`, user, password };
    const watch = await watchTopics(plain, ids);
    return await violations(service, watch, acknowledged).finally(() => watch.stop());
  }

  /** The service goes on while it is wrong, says why, and delivers when it is right again: without a restart. */
  async function goesOnAndRecovers(reason: RegExp, mend: () => Promise<void>): Promise<void> {
    const waiting = await register();
    await told(reason);
    await readiness("degraded");
    expect(
      await service.query("select from outbox where user_id = $1 and published_at is null", [waiting]),
    ).toHaveLength(1);
    await mend();
    await published(waiting);
    await readiness("ok");
    expect(await oracle()).toEqual([]);
    expect(logged.join("")).not.toContain(kafka.password);
    expect(logged.join("")).not.toContain("PRIVATE KEY");
  }

  test("the broker's certificate has expired: the service goes on, and delivers when it is renewed", async () => {
    logged.length = 0;
    await published(await register());
    await kafka.showInstead(await authority.issue("localhost", { expired: true }));
    await goesOnAndRecovers(/certificate has expired/, () => kafka.showInstead(good));
  }, 120_000);

  test("a SCRAM password was changed while it runs: the same, when it is changed back", async () => {
    logged.length = 0;
    await published(await register());
    await kafka.setScramPassword("rotated-on-the-broker");
    // A connection that is open outlives its password.
    await kafka.showInstead(good);
    await goesOnAndRecovers(/authentication/i, () => kafka.setScramPassword(kafka.password));
  }, 120_000);
});
