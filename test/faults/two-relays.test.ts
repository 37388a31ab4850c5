import { afterEach, expect, test } from "@jest/globals";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freeKafkaPorts, startKafka } from "../../scripts/kafka/broker.ts";
import { loadConfig } from "../../lib/config.ts";
import { silentLog } from "../../lib/log.ts";
import { startNode } from "../../node.ts";
import { eventually } from "../support/eventually.ts";
import { describeWithKafka, kafkaForTests } from "../support/kafka.ts";
import { aroundProxy, audit, createContractTopics, kafkaEnv, reserveIds, watchTopics } from "../support/oracle.ts";
import { registration } from "../support/people.ts";
import { createStand, startService } from "../support/service.ts";
import { startTcpProxy } from "../support/tcp-proxy.ts";

/** Rows 29 and 30 of the fault table. */
let cleanUps: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).toReversed()) await cleanUp();
  cleanUps = [];
}, 60_000);

describeWithKafka("the relay's lock and its hints", () => {
  test("only the lock's connection is lost, unnoticed, while its holder publishes: duplicates, and no reordering", async () => {
    const dir = await mkdtemp(join(tmpdir(), "identity-two-relays-"));
    cleanUps.push(() => rm(dir, { recursive: true, force: true }));
    const ports = await freeKafkaPorts();
    const toKafka = await startTcpProxy({ host: "127.0.0.1", port: ports.sasl });
    cleanUps.push(() => toKafka.stop());
    const broker = await startKafka({ dir, ports, advertisedSasl: toKafka.port });
    cleanUps.push(() => broker.stop());
    const { user, password, plaintext } = broker;
    const kafka = { plaintext, sasl: `127.0.0.1:${toKafka.port}`, user, password };
    await createContractTopics(kafka);

    const stand = await createStand();
    cleanUps.push(() => stand.stop());
    const toPostgres = await startTcpProxy(stand.database);
    cleanUps.push(() => toPostgres.stop());
    const start = async (env: Record<string, string>) => {
      const node = await startNode(loadConfig({ ...stand.env, ...env }), silentLog);
      cleanUps.push(() => node.stop());
    };
    const lockHolder = async () => {
      const [holder] = await stand.query<{ client_port: number }>(
        `select a.client_port from pg_locks l join pg_stat_activity a using (pid)
         where l.locktype = 'advisory' and l.granted and a.datname = current_database()`,
      );
      return holder?.client_port;
    };
    /** The first holds the lock, by way of the proxies; the second goes around them. */
    await start({ ...kafkaEnv(kafka), PG_PORT: String(toPostgres.port) });
    await eventually("the first holds the lock", lockHolder);
    await start({ SERVICES: "events", ...kafkaEnv(aroundProxy(kafka)) });

    const people: { id: number; email: string }[] = [];
    const register = async () => {
      const body = registration();
      const answer = await stand.client().post("/api/v1/users/customers/", body);
      people.push({ id: Number(answer.json()["id"]), email: body.email });
    };
    const change = (count: number) =>
      stand.query(
        `with numbered as (select id, version, generate_series(1, $1::int) as step from users),
           bumped as (update users set version = version + $1)
         insert into outbox (id, user_id, version, type, data)
         select gen_random_uuid(), id, version + step, 'user.email_verified', '{}' from numbered`,
        [count],
      );
    const unpublished = async () => (await stand.query("select from outbox where published_at is null")).length;
    await register();
    await register();
    await eventually("the first publishes", async () => ((await unpublished()) === 0 ? true : undefined));

    // So slow that its batch is under way when the second one takes over, and comes after later changes.
    toKafka.delay(2500);
    await change(3);
    // The first looks once a second, and is then two and a half seconds from Kafka, and from noting it.
    await new Promise((resolve) => setTimeout(resolve, 1500));
    expect(toPostgres.sever((await lockHolder()) ?? 0)).toBe(true);
    await change(3);
    await eventually("the second has published all", async () => ((await unpublished()) === 0 ? true : undefined));
    await change(2);

    const watch = await watchTopics(aroundProxy(kafka), { from: 1, below: Infinity });
    cleanUps.push(() => watch.stop());
    await eventually("what the first sent has arrived as well", async () => {
      await watch.caughtUp();
      const ids = watch.messages().map(({ topic, headers }) => `${topic} ${headers["ce_id"] ?? ""}`);
      return ids.length > new Set(ids).size ? true : undefined;
    });
    await toKafka.restore();
    expect((await audit(stand, watch, people)).findings).toEqual([]);
  }, 90_000);

  test("every hint is lost: polling finds events and mails within its interval", async () => {
    const kafka = await kafkaForTests();
    await createContractTopics(kafka);
    const service = await startService(kafkaEnv(kafka));
    cleanUps.push(() => service.stop());
    const watch = await watchTopics(kafka, await reserveIds(service));
    cleanUps.push(() => watch.stop());
    const lost: string[] = [];
    Reflect.set(service.broker, "broadcast", (event: string) => {
      lost.push(event);
      return Promise.resolve();
    });
    const people: { id: number; email: string }[] = [];
    for (let count = 0; count < 5; count++) {
      const body = registration();
      const answer = await service.client().post("/api/v1/users/couriers/", body);
      people.push({ id: Number(answer.json()["id"]), email: body.email });
    }
    const { findings } = await audit(service, watch, people);
    expect(findings).toEqual([]);
    for (const { email } of people) await service.mailTo(email);
    expect(new Set(lost)).toEqual(new Set(["outbox.appended", "mails.queued"]));
    type Row = { events: number; mails: number };
    const [late] = await service.query<Row>(
      `select (select extract(epoch from max(published_at - occurred_at)) from outbox)::float8 as events,
         (select extract(epoch from max(sent_at - created_at)) from mails)::float8 as mails`,
    );
    // Polls are one and two seconds apart; the rest is for a busy machine.
    expect(late?.events).toBeLessThan(1 + 2);
    expect(late?.mails).toBeLessThan(2 + 2);
  }, 60_000);
});
