import { describe, expect, test } from "@jest/globals";
import type { Log } from "../../../../lib/log.ts";
import type { Database, Transaction } from "../../../../mixins/database/database.ts";
import { outboxHealth, type OutboxHealthDeps } from "../../../../services/events/outbox-health.ts";

const calm = { anyParked: false, oldestSeconds: 2 };
/** @returns what is answered, and what the log is told */
function health(changes: { kafka?: OutboxHealthDeps["kafka"]; state?: object | Error }) {
  const told: unknown[] = [];
  const note = (fields: unknown, sentence: unknown) => void told.push([fields, sentence]);
  const log = { info: note, warn: note } as unknown as Log;
  const now = { kafka: { ping: () => Promise.resolve() }, state: calm as object | Error, ...changes };
  const tx: Transaction = {
    query: <Row>() => (now.state instanceof Error ? Promise.reject(now.state) : Promise.resolve([now.state as Row])),
    signal: () => undefined,
  };
  const db = { transaction: <T>(work: (tx: Transaction) => Promise<T>) => work(tx) } as Database;
  return { ask: outboxHealth({ db, kafka: now.kafka, log }), told, now };
}

describe("the outbox's health", () => {
  test("some changes on their way: ok", async () => {
    const { ask, told } = health({});
    expect([await ask(), told]).toEqual(["ok", []]);
  });

  test("the database does not answer: that is told by a check of its own", async () => {
    const { ask, told } = health({ state: new Error("db.internal:5432") });
    expect([await ask(), told]).toEqual(["ok", []]);
  });

  test.each([
    ["Kafka does not answer", { kafka: { ping: () => Promise.reject(new Error("broker.internal:9092")) } }],
    ["changes are parked: npm run cli -- outbox status", { state: { ...calm, anyParked: true } }],
    ["a change waits for more than 60 s", { state: { ...calm, oldestSeconds: 61 } }],
  ])("%s: degraded and never down, and the reason is logged once", async (why, changes) => {
    const { ask, told } = health(changes);
    expect([await ask(), await ask(), await ask()]).toEqual(["degraded", "degraded", "degraded"]);
    expect(told).toEqual([[{ why }, "events are degraded"]]);
  });

  test("well again: ok, and the log hears of it", async () => {
    const { ask, told, now } = health({ state: { ...calm, anyParked: true } });
    await ask();
    now.state = calm;
    expect(await ask()).toBe("ok");
    expect(told).toHaveLength(2);
  });

  test("no Kafka is configured: degraded, and nothing to say each time", async () => {
    const { ask, told } = health({ kafka: undefined });
    expect([await ask(), told]).toEqual(["degraded", []]);
  });
});
