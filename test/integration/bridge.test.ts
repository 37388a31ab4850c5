import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "@jest/globals";
import { randomUUID } from "node:crypto";
import { pino } from "pino";
import { silentLog } from "../../lib/log.ts";
import {
  connectKafka,
  type KafkaPort,
  type RawKafkaMessage,
  type ReceivedMessage,
} from "../../services/events/kafka.ts";
import { deadLetterTopic, type Listener } from "../../services/events/listeners.ts";
import { changesTopic } from "../../services/events/topics.ts";
import { maxMessageBytes } from "../../services/events/read-event.ts";
import { eventually } from "../support/eventually.ts";
import { describeWithKafka, kafkaForTests, uniqueName, type TestKafka } from "../support/kafka.ts";
import { effectsTable, ledgerContract, startListeningNode, type ListeningNode } from "../support/listening-node.ts";
import { kafkaEnv } from "../support/oracle.ts";
import { createStand, type TestStand } from "../support/service.ts";

const partitions = 3;
const placed = "OrderPlaced";
const listener = (topic: string): Listener => ({ topic, event: placed, action: ledgerContract.note });

describeWithKafka("bridge", () => {
  let kafka: TestKafka;
  let port: KafkaPort;
  let stand: TestStand;
  let topic: string;
  let nodes: ListeningNode[];
  let logged: string[];

  beforeAll(async () => {
    kafka = await kafkaForTests();
    stand = await createStand(kafkaEnv(kafka));
    await stand.query(effectsTable);
    const { sasl, user, password } = kafka;
    port = connectKafka({ brokers: [sasl], user, password, mechanism: "plain", ssl: undefined }, silentLog);
    // Readiness asks for it.
    await create(changesTopic);
  }, 180_000);
  afterAll(async () => {
    await port.close();
    await stand.stop();
  });
  beforeEach(async () => {
    topic = uniqueName("orders");
    nodes = [];
    logged = [];
    await create(topic, deadLetterTopic(topic));
  });
  afterEach(async () => {
    await Promise.all(nodes.map((node) => node.stop()));
  });

  const create = (...topics: string[]) =>
    port.createTopics(topics.map((name) => ({ topic: name, partitions, replication: 1 })));

  async function startNode(...of: string[]): Promise<ListeningNode> {
    const log = pino({ level: "debug" }, { write: (line: string) => void logged.push(line) });
    const topics = of.length === 0 ? [topic] : of;
    const node = await startListeningNode(stand.env, topics.map(listener), log);
    nodes.push(node);
    return node;
  }

  /** One message; its id is new unless headers name one. @returns the id */
  async function send(data: unknown, changes: Partial<RawKafkaMessage> = {}): Promise<string> {
    const id = randomUUID();
    const value = JSON.stringify(data);
    await port.publish([{ topic, partition: 0, key: placed, value, headers: { ce_id: id }, ...changes }]);
    return id;
  }

  const effects = async (...ids: string[]) =>
    (await stand.query<{ orders: number }>("select orders from effects where event_id = any($1)", [ids])).map(
      ({ orders }) => orders,
    );
  const handled = (id: string) =>
    eventually(`${id} is handled`, async () => ((await effects(id)).length > 0 ? true : undefined), 30_000);

  /** What lies in the dead-letter topic, once there are so many. */
  async function deadLetters(count: number): Promise<readonly ReceivedMessage[]> {
    const letters: ReceivedMessage[] = [];
    const subscription = await port.subscribe({
      group: uniqueName("reader"),
      topics: [deadLetterTopic(topic)],
      onMessage: (letter) => Promise.resolve(void letters.push(letter)),
    });
    await eventually(`${count} dead letters`, () => (letters.length >= count ? true : undefined), 30_000);
    await subscription.stop();
    return letters;
  }
  const calledWith = (node: ListeningNode, id: string) => node.calls.filter(({ eventId }) => eventId === id).length;

  test("an event named by its key, or by ce_type before the key: the action is called with id and data", async () => {
    const node = await startNode();
    const byKey = await send({ order: 1, unknown_field: "left out" });
    const byType = await send(
      { order: 2 },
      { key: "7", headers: { ce_id: "o-2", ce_type: placed, ce_source: "/orders" } },
    );
    await handled(byKey);
    await handled("/orders o-2");
    expect(node.calls).toEqual([
      { eventId: byKey, order: 1 },
      { eventId: "/orders o-2", order: 2 },
    ]);
    expect(byType).not.toBe("o-2");
  });

  test("a message without ce_id: topic, partition and offset are its id", async () => {
    await startNode();
    await send({ order: 3 }, { headers: {}, partition: 1 });
    await handled(`${topic}/1/0`);
  });

  test("the same event twice: the action is called twice, and its effect is there once", async () => {
    const node = await startNode();
    const id = await send({ order: 4 });
    await send({ order: 4 }, { headers: { ce_id: id } });
    await handled(await send({ order: 5 }));
    expect([calledWith(node, id), await effects(id)]).toEqual([2, [4]]);
  });

  test("a handler that fails twice: tried again until it succeeds, and a failed try leaves nothing behind", async () => {
    const node = await startNode();
    const id = await send({ order: 6, fails: "twice" });
    const behind = await send({ order: 7 });
    await handled(behind);
    expect([calledWith(node, id), await effects(id)]).toEqual([3, [6]]);
    expect(node.calls.at(-1)?.eventId).toBe(behind);
  });

  test("events that nobody listens to: skipped, with one line for each name", async () => {
    const node = await startNode();
    for (const name of ["OrderEaten", "OrderEaten", "constructor", "__proto__", ""]) await send({}, { key: name });
    await send({ order: 8 }, { headers: { ce_type: "OrderLost" } });
    await send({ order: 8 }, { key: null, headers: {} });
    await handled(await send({ order: 9 }));
    const told = logged.filter((line) => line.includes("nobody listens to"));
    expect(told.map((line) => (JSON.parse(line) as { event: string }).event)).toEqual(
      expect.arrayContaining(["OrderEaten", "constructor", "__proto__", "", "OrderLost"]),
    );
    expect(told).toHaveLength(5);
    const counted = await node.metrics();
    expect(counted).toContain('identity_events_received_total{outcome="skipped"} 7');
    expect(counted).toContain('identity_events_received_total{outcome="handled"} 1');
  });

  test("poison: to the dead-letter topic at once, as it came and with the reason; the next is handled", async () => {
    const node = await startNode();
    const big = JSON.stringify({ order: 1, padding: "x".repeat(maxMessageBytes) });
    const binary = Buffer.from([0x7b, 0xff, 0xfe, 0x00]);
    const poison: [string, string | Buffer | null, RawKafkaMessage["headers"]?][] = [
      ["no JSON", "{order: 1}"],
      ["no JSON", ""],
      ["no UTF-8", binary],
      ["a forbidden key", '{"order":1,"__proto__":{"admin":true}}'],
      ["nested too deep", `{"order":1,"a":${"[".repeat(40)}${"]".repeat(40)}}`],
      ["no JSON", "[".repeat(200_000)],
      ["nested too deep", "[".repeat(100_000) + "]".repeat(100_000)],
      ["a text with a lone surrogate or a zero byte", '{"order":1,"note":"\\ud83d"}'],
      ["a text with a lone surrogate or a zero byte", '{"order":1,"note":"\\u0000"}'],
      ["VALIDATION_ERROR: Parameters validation error!", '{"order":"one"}'],
      ["VALIDATION_ERROR: Parameters validation error!", "[]"],
      ["VALIDATION_ERROR: Parameters validation error!", null],
      ["ce_id is no identifier", '{"order":1}', { ce_id: "x\r\ny" }],
      ["ce_id is no identifier", '{"order":1}', { ce_id: "" }],
      ["ce_source is no identifier", '{"order":1}', { ce_id: "1", ce_source: "x".repeat(201) }],
      ["too large", big],
      ["too many headers", '{"order":1}', Object.fromEntries(Array.from({ length: 5000 }, (_, n) => [`h${n}`, "x"]))],
    ];
    for (const [, value, headers = { ce_id: randomUUID(), "x-reason": "forged", note: [binary, binary] }] of poison) {
      await port.publish([{ topic, partition: 2, key: placed, value, headers }]);
    }
    await handled(await send({ order: 10 }, { partition: 2 }));

    expect(node.calls).toHaveLength(1);
    const letters = await deadLetters(poison.length);
    expect(letters.map(({ headers }) => headers["x-reason"])).toEqual(poison.map(([reason]) => reason));
    for (const [index, { partition, raw, headers }] of letters.entries()) {
      const [reason, value, sent] = poison[index]!;
      const isLarge = reason.startsWith("too ");
      expect(raw.value).toEqual(value === null || isLarge ? null : Buffer.from(value));
      expect(raw.key).toEqual(isLarge ? null : Buffer.from(placed));
      expect([partition, headers["x-attempts"]]).toEqual([2, "1"]);
      expect(headers).toMatchObject({
        "x-original-topic": topic,
        "x-original-partition": "2",
        "x-original-offset": String(index),
        ...(isLarge && { "x-content": "omitted" }),
      });
      if (!sent && !isLarge) expect(raw.headers["note"]).toEqual([binary, binary]);
    }
    expect(logged.join("")).not.toContain("forged");
  }, 60_000);

  test("headers named like what every object has: read, passed on, and of no effect", async () => {
    const node = await startNode();
    const odd = Object.fromEntries([
      ["__proto__", "a"],
      ["constructor", "b"],
      ["toString", "c"],
      ["", "d"],
    ]);
    const id = await send({ order: 11 }, { headers: { ...odd, ce_id: "h-1", traceparent: "garbage\r\n" } });
    await handled("h-1");
    await send({ order: "?" }, { headers: { ...odd, ce_id: id } });
    const [letter] = await deadLetters(1);
    for (const [name, value] of Object.entries(odd)) expect(letter?.raw.headers[name]).toEqual([Buffer.from(value)]);
    expect(node.calls).toHaveLength(1);
  });

  test("a handler that always fails: five tries, then the dead letter; other partitions do not wait", async () => {
    const node = await startNode();
    const bad = await send({ order: 12, fails: "always" });
    const behind = await send({ order: 13 });
    const elsewhere = await send({ order: 14 }, { partition: 1 });
    await handled(elsewhere);
    expect(await effects(behind)).toEqual([]);
    await handled(behind);
    const [letter] = await deadLetters(1);
    expect(letter?.headers).toMatchObject({
      ce_id: bad,
      "x-attempts": "5",
      "x-reason": expect.stringContaining("no order 12"),
    });
    expect([calledWith(node, bad), await effects(bad)]).toEqual([5, []]);
    // What the handler said may be about a person.
    expect(logged.join("")).not.toContain("no order 12");
  }, 60_000);

  test("what the handler needs is away: never a dead letter, its partition waits, readiness says degraded", async () => {
    const node = await startNode();
    await handled(await send({ order: 15 }));
    expect(await node.health()).toEqual({ status: "ok" });
    node.away = true;
    const waits = await send({ order: 16, fails: "while_away" });
    await eventually("more than five tries", () => (calledWith(node, waits) > 5 ? true : undefined), 30_000);
    expect(await node.health()).toEqual({ status: "degraded" });
    expect(await node.metrics()).toContain("identity_events_waiting_partitions 1");
    await handled(await send({ order: 17 }, { partition: 1 }));
    node.away = false;
    await handled(waits);
    await eventually("it is ok again", async () =>
      JSON.stringify(await node.health()) === '{"status":"ok"}' ? true : undefined,
    );
  }, 60_000);

  test("no dead-letter topic: it is not created silently, and the message waits for it", async () => {
    const orphan = uniqueName("orders");
    await create(orphan);
    const node = await startNode(orphan);
    expect(await node.health()).toEqual({ status: "ok" });
    await send("poison", { topic: orphan });
    const behind = await send({ order: 18 }, { topic: orphan });
    await handled(await send({ order: 19 }, { topic: orphan, partition: 1 }));
    await eventually("it says degraded", async () =>
      JSON.stringify(await node.health()) === '{"status":"degraded"}' ? true : undefined,
    );
    await expect(port.partitions(deadLetterTopic(orphan))).rejects.toMatchObject({ code: "unknown_topic" });
    expect(await effects(behind)).toEqual([]);

    await create(deadLetterTopic(orphan));
    await handled(behind);
    topic = orphan;
    expect((await deadLetters(1))[0]?.headers["x-original-offset"]).toBe("0");
  }, 60_000);

  test("a topic that is missing: the others are listened to, and it too once it is there", async () => {
    const later = uniqueName("orders");
    await startNode(later, topic);
    await handled(await send({ order: 20 }));
    await create(later);
    await handled(await send({ order: 21 }, { topic: later }));
  }, 60_000);

  test("nodes that come and go under load: every event is handled, and has its effect once", async () => {
    const ids: string[] = [];
    const over = new AbortController();
    const load = (async () => {
      for (let order = 0; !over.signal.aborted; order++) {
        const batch = Array.from({ length: partitions }, (_, partition) => ({ partition, id: randomUUID() }));
        await port.publish(
          batch.map(({ partition, id }) => ({
            topic,
            partition,
            key: placed,
            value: JSON.stringify({ order }),
            headers: { ce_id: id },
          })),
        );
        ids.push(...batch.map(({ id }) => id));
      }
    })();
    const first = await startNode();
    const second = await startNode();
    await eventually(
      "both are given some",
      () => (first.calls.length > 0 && second.calls.length > 0 ? true : undefined),
      30_000,
    );
    await first.stop();
    const third = await startNode();
    await eventually("the third is given some", () => (third.calls.length > 0 ? true : undefined), 30_000);
    over.abort();
    await load;
    await eventually(
      "all are handled",
      async () => {
        const rows = await stand.query("select distinct event_id from effects where event_id = any($1)", [ids]);
        return rows.length === ids.length ? true : undefined;
      },
      60_000,
    );
    expect((await effects(...ids)).length).toBe(ids.length);
  }, 120_000);
});
