import { afterEach, beforeEach, describe, expect, test } from "@jest/globals";
import { randomInt } from "node:crypto";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { silentLog } from "../../lib/log.ts";
import { connectKafka } from "../../services/events/kafka.ts";
import { eventually } from "../support/eventually.ts";
import { failPointEnv, type FailPoint } from "../support/fail-point.ts";
import { describeWithKafka, kafkaForTests, type TestKafka } from "../support/kafka.ts";
import {
  contractTopics,
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
import { randomFrom } from "../support/random.ts";
import { startProcess, type ServiceProcess } from "../support/process.ts";
import { createStand, type TestStand } from "../support/service.ts";

const failPointModule = join(import.meta.dirname, "../support/fail-point.ts");

let stand: TestStand;
let running: ServiceProcess | undefined;

const start = async (changes: Record<string, string> = {}, point?: FailPoint): Promise<ServiceProcess> => {
  const env = { ...stand.env, ...changes, ...(point && failPointEnv(point)) };
  running = startProcess(env, point ? { imports: [failPointModule] } : {});
  await running.ready();
  return running;
};

/** @returns the acknowledged registration, or nothing when there was no answer */
async function register(path = "customers", body = registration()): Promise<Acknowledged | undefined> {
  const answer = await stand
    .client()
    .post(`/api/v1/users/${path}/`, body)
    .catch(() => undefined);
  return answer?.status === 201 ? { id: Number(answer.json()["id"]), email: body.email } : undefined;
}

async function countRows(): Promise<Record<string, number>> {
  const tables = ["users", "user_profiles", "sessions", "one_time_tokens", "outbox", "mails"];
  const counts = tables.map((table) => `(select count(*)::int from ${table}) as ${table}`);
  const [row] = await stand.query<Record<string, number>>(`select ${counts.join()}`);
  return row ?? {};
}
const none = { users: 0, user_profiles: 0, sessions: 0, one_time_tokens: 0, outbox: 0, mails: 0 };
const one = { users: 1, user_profiles: 1, sessions: 1, one_time_tokens: 1, outbox: 1, mails: 1 };

beforeEach(async () => {
  stand = await createStand();
});
afterEach(async () => {
  await running?.kill();
  running = undefined;
  await stand.stop();
});

describe("kill -9 inside the registration's transaction", () => {
  /** Only what a registration needs: the other services would have statements and start-up time of their own. */
  const services = { SERVICES: "auth,api-gateway" };
  /** All but what is asked to know the health. */
  const anyStatement = "^(?!select 1$)";

  test("before every one of its statements, COMMIT included: nothing is left", async () => {
    let statement = 1;
    for (; statement < 40; statement++) {
      const killed = await start(services, {
        when: "before",
        service: "auth",
        statement: anyStatement,
        nth: statement,
      });
      if (await register()) break;
      expect([statement, await killed.exited]).toEqual([statement, { code: null, signal: "SIGKILL" }]);
      expect([statement, await countRows()]).toEqual([statement, none]);
    }
    // begin, user, profile, outbox, one-time token, mail, session, commit, at the least.
    expect(statement).toBeGreaterThan(8);
    expect(await countRows()).toEqual(one);
  }, 120_000);

  test("after COMMIT, before the answer: everything is there, and the address is taken", async () => {
    const killed = await start(services, { when: "after", service: "auth", statement: "^commit$" });
    const body = registration();
    expect(await register("customers", body)).toBeUndefined();
    expect(await killed.exited).toMatchObject({ signal: "SIGKILL" });
    expect(await countRows()).toEqual(one);
    await start(services);
    const again = await stand.client().post("/api/v1/users/customers/", body);
    expect([again.status, again.json()]).toEqual([400, { email: ["user with this email already exists."] }]);
  });
});

describeWithKafka("kill -9, then started again: what Kafka and the mailbox see", () => {
  let kafka: TestKafka;
  let ids: IdRange;
  let watch: TopicWatch;

  beforeEach(async () => {
    kafka = await kafkaForTests();
    const { sasl, user, password } = kafka;
    const port = connectKafka({ brokers: [sasl], user, password, mechanism: "plain", ssl: undefined }, silentLog);
    await port.createTopics(contractTopics.map((topic) => ({ topic, partitions: 3, replication: 1 })));
    await port.close();
    ids = await reserveIds(stand);
    watch = await watchTopics(kafka, ids);
  }, 180_000);
  afterEach(() => watch.stop());

  const restart = () => start(kafkaEnv(kafka));
  const mailsTo = async (address: string) => (await stand.mails()).filter(({ to }) => to.includes(address));

  test("after COMMIT: one event on each of its topics, one mail", async () => {
    const body = registration();
    const killed = await start(kafkaEnv(kafka), { when: "after", service: "auth", statement: "^commit$" });
    expect(await register("managers", body)).toBeUndefined();
    expect(await killed.exited).toMatchObject({ signal: "SIGKILL" });
    expect(await countRows()).toEqual(one);

    await restart();
    expect(await violations(stand, watch, [{ id: ids.from, email: body.email }])).toEqual([]);
    for (const topic of ["user_restaurant", "user_menu", "user_order", "user_events"]) {
      expect([topic, idsOf(watch.ofUser(ids.from, topic)).length]).toEqual([topic, 1]);
    }
    await stand.mailTo(body.email);
    await running?.stop();
    expect(await mailsTo(body.email)).toHaveLength(1);
  }, 60_000);

  test("after publishing, before noting it: sent again, with the same ce_id", async () => {
    const killed = await start(kafkaEnv(kafka), {
      when: "before",
      service: "events",
      statement: "update outbox set published_at",
    });
    const registered = await register("managers");
    if (!registered) throw new Error("no answer");
    expect(await killed.exited).toMatchObject({ signal: "SIGKILL" });
    await watch.caughtUp();
    const [first] = idsOf(watch.ofUser(registered.id));
    expect(await stand.query("select id from outbox where published_at is null")).toEqual([{ id: first }]);

    await restart();
    expect(await violations(stand, watch, [registered])).toEqual([]);
    for (const topic of ["user_restaurant", "user_menu", "user_order", "user_events"]) {
      const received = watch.ofUser(registered.id, topic).map(({ headers }) => headers["ce_id"]);
      expect([topic, received]).toEqual([topic, [first, first]]);
    }
  }, 60_000);

  test("at random, six times, under registrations: nothing is lost and nothing invented", async () => {
    const seed = randomInt(2 ** 31);
    const random = randomFrom(seed);
    const acknowledged: Acknowledged[] = [];
    const paths = ["customers", "couriers", "managers"];
    for (let round = 0; round < 6; round++) {
      const process = await restart();
      let alive = true;
      const clients = paths.map(async (path) => {
        while (alive) {
          const registered = await register(path);
          if (registered) acknowledged.push(registered);
        }
      });
      const before = acknowledged.length;
      await eventually("two are registered", () => (acknowledged.length > before + 1 ? true : undefined), 60_000);
      await sleep(random() * 900);
      await process.kill();
      alive = false;
      await Promise.all(clients);
    }
    await restart();
    try {
      expect(acknowledged.length).toBeGreaterThan(6);
      expect(await violations(stand, watch, acknowledged)).toEqual([]);
      // What the killed ones had claimed is due when their lease ends.
      await stand.query("update mails set next_attempt_at = now() where status = 'queued'");
      await eventually("all mails are sent", async () =>
        (await stand.query("select from mails where status <> 'sent'")).length === 0 ? true : undefined,
      );
      for (const mail of await stand.query<{ address: string }>("select address from mails limit 30")) {
        const sent = (await mailsTo(mail.address)).map((caught) => caught.message_id);
        expect(new Set(sent).size).toBeLessThanOrEqual(1);
      }
    } catch (error) {
      throw new Error(`seed ${seed}`, { cause: error });
    }
  }, 120_000);
});
