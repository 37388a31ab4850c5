import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { spawn, type ChildProcess } from "node:child_process";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { join } from "node:path";
import { silentLog } from "../../lib/log.ts";
import { connectKafka, type KafkaPort } from "../../services/events/kafka.ts";
import { eventually } from "../support/eventually.ts";
import { describeWithKafka, kafkaForTests, uniqueName } from "../support/kafka.ts";
import { effectsTable } from "../support/listening-node.ts";
import { kafkaEnv } from "../support/oracle.ts";
import { endWithThisProcess } from "../support/process.ts";
import { createStand, type TestStand } from "../support/service.ts";

const script = join(import.meta.dirname, "../support/listening-process.ts");
const partitions = 3;

describeWithKafka("bridge: kill -9", () => {
  let port: KafkaPort;
  let stand: TestStand;
  const children: ChildProcess[] = [];

  beforeAll(async () => {
    const kafka = await kafkaForTests();
    stand = await createStand(kafkaEnv(kafka));
    await stand.query(effectsTable);
    const { sasl, user, password } = kafka;
    port = connectKafka({ brokers: [sasl], user, password, mechanism: "plain", ssl: undefined }, silentLog);
  }, 180_000);
  afterAll(async () => {
    await Promise.all(children.map(kill));
    await port.close();
    await stand.stop();
  });

  function start(topic: string): ChildProcess {
    const env = { ...stand.env, PATH: process.env["PATH"], LISTEN_TO: topic };
    const child = spawn(process.execPath, [script], { env, stdio: "ignore", cwd: stand.env["DATA_DIR"] });
    const release = endWithThisProcess(child);
    children.push(child.once("exit", release));
    child.unref();
    return child;
  }
  async function kill(child: ChildProcess): Promise<void> {
    if ((child.exitCode ?? child.signalCode) !== null) return;
    child.kill("SIGKILL");
    await once(child, "exit");
  }
  const done = async () =>
    (await stand.query<{ count: number }>("select count(*)::int as count from effects"))[0]?.count ?? 0;

  test("killed while it handles, twice: every event has its effect, and once", async () => {
    const topic = uniqueName("orders");
    await port.createTopics([{ topic, partitions, replication: 1 }]);
    const ids = Array.from({ length: 3000 }, () => randomUUID());
    await port.publish(
      ids.map((id, order) => ({
        topic,
        partition: order % partitions,
        key: "OrderPlaced",
        value: JSON.stringify({ order }),
        headers: { ce_id: id },
      })),
    );
    let seen = 0;
    for (let round = 0; round < 2; round++) {
      const victim = start(topic);
      seen = await eventually(
        `round ${round}: some are done`,
        async () => {
          const count = await done();
          return count > seen + 50 ? count : undefined;
        },
        40_000,
      );
      await kill(victim);
      expect(await done()).toBeLessThan(ids.length);
    }
    start(topic);
    await eventually("all are done", async () => ((await done()) >= ids.length ? true : undefined), 60_000);
    const rows = await stand.query<{ event_id: string }>("select event_id from effects");
    expect(rows.map(({ event_id: id }) => id).toSorted()).toEqual(ids.toSorted());
  }, 150_000);
});
