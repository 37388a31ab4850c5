import { afterEach, beforeEach, describe, expect, test } from "@jest/globals";
import { randomUUID } from "node:crypto";
import { loadConfig } from "../../lib/config.ts";
import { silentLog } from "../../lib/log.ts";
import { openDatabase, type Database, type Sql } from "../../mixins/database/database.ts";
import { createMetrics } from "../../mixins/metrics/metrics.ts";
import { KafkaError, type RawKafkaMessage } from "../../services/events/kafka.ts";
import { measureOutbox } from "../../services/events/outbox-metrics.ts";
import { requestReplay, retryParked, skipParked } from "../../services/events/outbox-operations.repository.ts";
import {
  markFailed,
  markPublished,
  queueHead,
  queueState,
  unpublished,
} from "../../services/events/outbox-queue.repository.ts";
import { holdBehindParked, unparkOfTopic } from "../../services/events/outbox-upkeep.repository.ts";
import { createRelay } from "../../services/events/relay.ts";
import { createStand, type TestStand } from "../support/service.ts";

let stand: TestStand;
let db: Database;
beforeEach(async () => {
  stand = await createStand();
  const { database } = loadConfig({ ...stand.env, SERVICES: "events" });
  if (!database) throw new Error("no database");
  db = openDatabase(database, silentLog, { name: "events", connections: 16 });
});
afterEach(async () => {
  await db.close();
  await stand.stop();
});

/** Changes 1 to `versions` of a user. @returns their ids */
async function append(userId: number, versions: number, more: { publishedAgo?: string; from?: number } = {}) {
  const { from = 1, publishedAgo } = more;
  const ids = Array.from({ length: versions }, () => randomUUID());
  await stand.query(
    `insert into outbox (id, user_id, version, type, data, published_at)
     select id, $2, $3 + nth - 1, 'user.email_verified', '{}', now() - $4::interval
     from unnest($1::uuid[]) with ordinality as rows (id, nth) order by nth`,
    [ids, userId, from, publishedAgo ?? null],
  );
  return ids;
}

/** What Kafka would be told: what it refuses, and how often it was asked, is the test's to say. */
function relayTo(publish: (messages: readonly RawKafkaMessage[]) => void, options: { leads?: () => boolean } = {}) {
  const told: string[] = [];
  const metrics = createMetrics(silentLog);
  const relay = createRelay({
    db,
    log: silentLog,
    retention: 7 * 86_400,
    metrics: measureOutbox(metrics, db),
    leads: () => Promise.resolve(options.leads?.() ?? true),
    kafka: {
      partitions: (topic) =>
        topic === missingTopic ? Promise.reject(new KafkaError("unknown_topic", `no ${topic}`)) : Promise.resolve(3),
      publish: (messages) =>
        Promise.try(() => {
          publish(messages);
          told.push(...messages.map(({ headers, value }) => `${String(headers["ce_subject"])}:${versionOf(value)}`));
        }),
      describe: () => Promise.resolve(undefined),
      ping: () => Promise.resolve(),
      createTopics: () => Promise.resolve(),
      subscribe: () => Promise.reject(new Error("not here")),
      close: () => Promise.resolve(),
    },
  });
  return { relay, told, metrics };
}
let missingTopic = "";
const versionOf = (value: unknown): number => (JSON.parse(String(value)) as { version: number }).version;
const refused = (message: string) => {
  throw new KafkaError("refused", message);
};
const state = () => queueState(db);
const rows = (where: string) =>
  stand.query<{ user_id: number; version: number; attempts: number; last_error: string | null }>(
    `select user_id::int, version, attempts, last_error from outbox where ${where} order by user_id, version`,
  );
/** The pauses between attempts are not waited for. */
const hurry = () => stand.query("update outbox set next_attempt_at = now() where next_attempt_at < 'infinity'");

describe("a change without messages", () => {
  test("behind others of its user in one batch: they go, it is held", async () => {
    await append(1, 2);
    await stand.query("update outbox set type = 'user.enchanted' where version = 2");
    await append(1, 1, { from: 3 });
    let away = true;
    const { relay, told } = relayTo(() => {
      if (away) throw new KafkaError("unreachable", "away");
    });
    // It was marked before Kafka was asked: its elders must not wait for it.
    await expect(relay()).rejects.toMatchObject({ code: "unreachable" });
    away = false;
    await relay();
    expect(told).toEqual(["1:1"]);
    expect(await rows("published_at is null")).toMatchObject([{ version: 2 }, { version: 3, attempts: 0 }]);
  });
});

describe("a refused message", () => {
  test("in the middle of a batch: found by halves, its user is held, everybody else is told in order", async () => {
    for (let user = 1; user <= 20; user++) await append(user, 5);
    let calls = 0;
    const { relay, told } = relayTo((messages) => {
      calls++;
      for (const { headers, value } of messages) {
        if (headers["ce_subject"] === "7" && versionOf(value) === 3) refused("too large");
      }
    });
    await relay();
    expect(told.filter((one) => one.startsWith("7:"))).toEqual(["7:1", "7:2"]);
    expect(told).toHaveLength(20 * 5 - 3);
    for (let user = 1; user <= 20; user++) {
      const versions = told.filter((one) => one.startsWith(`${user}:`)).map((one) => Number(one.split(":")[1]));
      expect(versions).toEqual(versions.toSorted((one, other) => one - other));
    }
    // One by one it would be a hundred.
    expect(calls).toBeLessThan(20);
    expect(await rows("published_at is null")).toEqual([
      { user_id: 7, version: 3, attempts: 1, last_error: "too large" },
      { user_id: 7, version: 4, attempts: 0, last_error: null },
      { user_id: 7, version: 5, attempts: 0, last_error: null },
    ]);
  });

  test("five times: parked, with what it holds; not authorised any more is nothing else", async () => {
    await append(1, 3);
    await append(2, 1);
    const { relay } = relayTo((messages) => {
      if (messages.some(({ headers }) => headers["ce_subject"] === "1")) refused("TOPIC_AUTHORIZATION_FAILED");
    });
    for (let attempt = 1; attempt <= 5; attempt++) {
      expect(await state()).toMatchObject({ parked: 0 });
      await relay();
      await hurry();
    }
    expect(await state()).toMatchObject({ unpublished: 3, parked: 1, held: 2, oldestSeconds: 0 });
    await relay();
    expect(await rows("parked_at is not null")).toEqual([
      { user_id: 1, version: 1, attempts: 5, last_error: "TOPIC_AUTHORIZATION_FAILED" },
    ]);
  });

  test("the pauses between attempts double, and differ", async () => {
    const ids = await append(1, 1);
    const pauses: number[] = [];
    for (let attempt = 1; attempt <= 4; attempt++) {
      expect(await markFailed(db, ids[0]!, { reason: "no" })).toBe("held");
      const [row] = await stand.query<{ seconds: number }>(
        "select extract(epoch from next_attempt_at - now())::float8 as seconds from outbox",
      );
      pauses.push(row?.seconds ?? 0);
    }
    for (const [index, pause] of pauses.entries()) {
      expect(pause).toBeLessThanOrEqual(0.5 * 2 ** index);
      expect(pause).toBeGreaterThan(0.25 * 2 ** index - 0.2);
    }
    expect(await markFailed(db, ids[0]!, { reason: "no" })).toBe("parked");
  });
});

describe("Kafka away", () => {
  test.each(["unreachable", "deadline", "authentication"] as const)(
    "%s: nothing is parked, held or counted, however often, and the order stays",
    async (code) => {
      await append(1, 3);
      let away = true;
      const { relay, told, metrics } = relayTo(() => {
        if (away) throw new KafkaError(code, "too few replicas");
      });
      for (let attempt = 1; attempt <= 10; attempt++) await expect(relay()).rejects.toMatchObject({ code });
      expect(await rows("attempts > 0 or parked_at is not null or next_attempt_at is not null")).toEqual([]);
      expect(await metrics.text()).toContain('identity_outbox_attempts_total{outcome="away"} 30\n');
      away = false;
      await relay();
      expect(told).toEqual(["1:1", "1:2", "1:3"]);
    },
  );
});

describe("leadership", () => {
  test("lost between the batches of one turn: nothing more is published", async () => {
    for (let user = 1; user <= 8; user++) await append(user, 1);
    let asked = 0;
    const leads = () => ++asked <= 3; // to begin, before the whole batch, before its first half
    const { relay, told } = relayTo(
      (messages) => {
        if (messages.length === 8) refused("too large together");
      },
      { leads },
    );
    await relay();
    expect(told).toHaveLength(4);
    expect(await rows("published_at is not null")).toHaveLength(4);
  });

  test("held by somebody else: nothing is read", async () => {
    await append(1, 1);
    const { relay, told } = relayTo(() => undefined, { leads: () => false });
    expect(await relay()).toBe("done");
    expect(told).toEqual([]);
  });
});

describe("a topic that is missing", () => {
  test("parks what needs it; back again, all of it goes on by itself", async () => {
    missingTopic = "user_events";
    try {
      await append(1, 2);
      await append(2, 1);
      const { relay } = relayTo(() => undefined);
      for (let attempt = 1; attempt <= 5; attempt++) {
        await relay();
        await hurry();
      }
      expect(await state()).toMatchObject({ unpublished: 3, parked: 2, held: 1 });
    } finally {
      missingTopic = "";
    }
    const { relay, told } = relayTo(() => undefined);
    await relay();
    expect(told.toSorted()).toEqual(["1:1", "1:2", "2:1"]);
    expect(await state()).toEqual({ unpublished: 0, parked: 0, held: 0, oldestSeconds: 0 });
  });
});

describe("operators", () => {
  async function parkOne(): Promise<string> {
    const [id = ""] = await append(1, 2);
    for (let attempt = 1; attempt <= 5; attempt++) await markFailed(db, id, { reason: "no" });
    return id;
  }
  const sixteen = async <T>(work: () => Promise<T>) => await Promise.all(Array.from({ length: 16 }, work));

  test("two of one user: what waits behind both waits once", async () => {
    const ids = await append(1, 5);
    for (const id of [ids[0]!, ids[2]!]) {
      for (let attempt = 1; attempt <= 5; attempt++) await markFailed(db, id, { reason: "no" });
    }
    expect(await state()).toEqual({ unpublished: 5, oldestSeconds: 0, parked: 2, held: 3 });
    expect(await holdBehindParked(db)).toBe("done");
    expect(await rows("next_attempt_at is null")).toEqual([]);
    expect(await unpublished(db, 300)).toEqual([]);
  });

  test("sixteen retry the same change: one of them does", async () => {
    const id = await parkOne();
    const counts = await sixteen(() => retryParked(db, id));
    expect(counts.toSorted()).toEqual([...Array<number>(15).fill(0), 1]);
    expect(await state()).toMatchObject({ parked: 0, unpublished: 2 });
  });

  test("sixteen skip the same change: one of them does, with one line in the audit log", async () => {
    const id = await parkOne();
    const outcomes = await sixteen(() => skipParked(db, id));
    expect(outcomes.filter((outcome) => outcome !== undefined)).toEqual([
      { user_id: 1, version: 1, type: "user.email_verified" },
    ]);
    expect(await stand.query("select details ->> 'reason' as reason from audit_log")).toEqual([{ reason: "no" }]);
    const { relay, told } = relayTo(() => undefined);
    await relay();
    expect(told).toEqual(["1:2"]);
  });

  test("retry and skip at once: one of them", async () => {
    const id = await parkOne();
    const [retried, skipped] = await Promise.all([retryParked(db, id), skipParked(db, id)]);
    expect([retried, skipped === undefined ? 0 : 1].toSorted()).toEqual([0, 1]);
  });

  test.each(["retry", "skip"])("%s: what was taken out of the queue behind it comes back", async (remedy) => {
    const id = await parkOne();
    const { told: before, relay: holding } = relayTo(() => undefined);
    await holding();
    await append(1, 1, { from: 3 });
    expect(before).toEqual([]);
    expect(await rows("next_attempt_at = 'infinity' and parked_at is null")).toMatchObject([{ version: 2 }]);
    expect(await state()).toMatchObject({ unpublished: 3, parked: 1, held: 2 });
    await (remedy === "retry" ? retryParked(db, id) : skipParked(db, id));
    const { told, relay } = relayTo(() => undefined);
    await relay();
    expect(told).toEqual(remedy === "retry" ? ["1:1", "1:2", "1:3"] : ["1:2", "1:3"]);
  });

  test("what is not parked is neither retried nor skipped", async () => {
    const [waiting = ""] = await append(1, 1);
    const [published = ""] = await append(2, 1, { publishedAgo: "1 hour" });
    const [held = ""] = await append(3, 1);
    await markFailed(db, held, { reason: "no" });
    for (const id of [waiting, published, held, randomUUID()]) {
      expect([await retryParked(db, id), await skipParked(db, id)]).toEqual([0, undefined]);
    }
    expect(await stand.query("select from audit_log")).toEqual([]);
  });

  test("all parked ones at once", async () => {
    await parkOne();
    const [other = ""] = await append(2, 1);
    for (let attempt = 1; attempt <= 5; attempt++) await markFailed(db, other, { reason: "no" });
    expect(await retryParked(db, undefined)).toBe(2);
    expect(await state()).toMatchObject({ parked: 0 });
  });

  test("sixteen ask for a replay: one of them gets it, and the next one after it is done", async () => {
    await append(1, 3, { publishedAgo: "1 hour" });
    const since = new Date(Date.now() - 2 * 3600_000);
    const outcomes = await sixteen(() => requestReplay(db, since, undefined));
    expect(outcomes.filter((outcome) => outcome !== undefined)).toEqual([3]);
    const { relay, told } = relayTo(() => undefined);
    await relay();
    expect(told).toEqual(["1:1", "1:2", "1:3"]);
    expect(await requestReplay(db, since, undefined)).toBe(3);
  });
});

describe("a replay", () => {
  test("tells each user's changes since then again, before his newer ones and after everybody else's", async () => {
    await append(1, 2, { publishedAgo: "3 hours" });
    await append(1, 2, { from: 3, publishedAgo: "1 hour" });
    await append(2, 1, { publishedAgo: "1 hour" });
    await append(1, 2, { from: 5 });
    await append(3, 1);
    const since = new Date(Date.now() - 2 * 3600_000);
    expect(await requestReplay(db, since, undefined)).toBe(3);
    const { relay, told } = relayTo(() => undefined);
    await relay();
    expect(told).toEqual(["3:1", "1:3", "1:4", "2:1"]);
    await relay();
    expect(told.slice(4)).toEqual(["1:5", "1:6"]);
  });

  test("for one topic: the others hear nothing, and the ids are those of before", async () => {
    const ids = await append(1, 2, { publishedAgo: "1 hour" });
    await requestReplay(db, new Date(Date.now() - 2 * 3600_000), "user_order");
    const heard: RawKafkaMessage[] = [];
    const { relay } = relayTo((messages) => heard.push(...messages));
    await relay();
    expect(heard).toEqual([]);
    expect(await state()).toMatchObject({ unpublished: 0 });

    await requestReplay(db, new Date(Date.now() - 2 * 3600_000), "user_events");
    await relayTo((messages) => heard.push(...messages)).relay();
    expect(heard.map(({ topic, headers }) => [topic, headers["ce_id"]])).toEqual(ids.map((id) => ["user_events", id]));
  });

  test("leaves out what was skipped, and what is parked comes after it", async () => {
    const [first = ""] = await append(1, 3);
    const park = async (id: string) => {
      for (let attempt = 1; attempt <= 5; attempt++) await markFailed(db, id, { reason: "no" });
    };
    await park(first);
    await skipParked(db, first);
    const poisoned = relayTo((messages) => {
      if (messages.some(({ value }) => versionOf(value) === 3)) refused("no");
    });
    for (let attempt = 1; attempt <= 5; attempt++) {
      await poisoned.relay();
      await hurry();
    }
    expect(poisoned.told).toEqual(["1:2"]);
    expect(await requestReplay(db, new Date(Date.now() - 3600_000), undefined)).toBe(1);
    const { relay, told } = relayTo(() => undefined);
    await relay();
    expect(told).toEqual(["1:2"]);
    await retryParked(db, undefined);
    await relay();
    expect(told).toEqual(["1:2", "1:3"]);
  });

  test("of which one was parked and skipped: the next replay tells it, and nothing is parked", async () => {
    const [, second = ""] = await append(1, 3, { publishedAgo: "1 hour" });
    const since = new Date(Date.now() - 2 * 3600_000);
    await requestReplay(db, since, undefined);
    const poisoned = relayTo((messages) => {
      if (messages.some(({ value }) => versionOf(value) === 2)) refused("no");
    });
    for (let attempt = 1; attempt <= 5; attempt++) {
      await poisoned.relay();
      await hurry();
    }
    expect(await skipParked(db, second)).toMatchObject({ version: 2 });
    const { relay, told } = relayTo(() => undefined);
    await relay();
    expect(told).toEqual(["1:3"]);
    expect(await requestReplay(db, since, undefined)).toBe(3);
    const again = relayTo(() => undefined);
    await again.relay();
    expect(again.told).toEqual(["1:1", "1:2", "1:3"]);
    expect(await state()).toEqual({ unpublished: 0, oldestSeconds: 0, parked: 0, held: 0 });
  });
});

describe("retention", () => {
  test("what was published longer ago is deleted a thousand at a time; what waits never is", async () => {
    await append(1, 2500, { publishedAgo: "8 days" });
    await append(1, 1, { from: 2501, publishedAgo: "6 days" });
    await stand.query(
      "insert into outbox (id, user_id, version, type, data, occurred_at) values ($1, 2, 1, 'user.deleted', '{}', now() - interval '30 days')",
      [randomUUID()],
    );
    const { relay } = relayTo(() => {
      throw new KafkaError("unreachable", "away");
    });
    const left = async () => (await stand.query("select from outbox")).length;
    const counts: number[] = [];
    for (let turn = 1; turn <= 4; turn++) {
      await relay().catch(() => undefined);
      counts.push(await left());
    }
    expect(counts).toEqual([1502, 502, 2, 2]);
    expect(await rows("published_at is null")).toHaveLength(1);
  });
});

describe("claiming a batch", () => {
  /** Milliseconds and the kinds of steps that PostgreSQL took for the very statement of the relay. */
  async function explained(
    ask: (db: Database) => Promise<unknown>,
  ): Promise<{ ms: number; steps: string[]; indexes: string[] }> {
    const plans: { "QUERY PLAN": { Plan: object; "Execution Time": number }[] }[] = [];
    const explaining = (sql: Sql): Sql => ({
      query: async (text, values) => {
        if (text.includes("set_config")) return await sql.query(text, values);
        plans.push(...(await sql.query<(typeof plans)[number]>(`explain (analyze, format json) ${text}`, values)));
        return [];
      },
    });
    await ask({
      ...db,
      ...explaining(db),
      transaction: (work) => db.transaction((tx) => work({ ...tx, ...explaining(tx) })),
    });
    const [{ Plan, "Execution Time": ms } = { Plan: {}, "Execution Time": NaN }] = plans[0]?.["QUERY PLAN"] ?? [];
    const all = (what: string) =>
      [...JSON.stringify(Plan).matchAll(RegExp(`"${what}":"([^"]+)"`, "g"))].map(([, of = ""]) => of);
    return { ms, steps: all("Node Type"), indexes: all("Index Name") };
  }
  const fill = (users: number, from: number, publishedAt: string) =>
    stand.query(
      `insert into outbox (id, user_id, version, type, data, published_at)
       select gen_random_uuid(), u, v, 'user.email_verified', '{}', ${publishedAt}
       from generate_series(1, 100) v, generate_series($2::int, $2::int + $1::int - 1) u order by v, u`,
      [users, from],
    );

  test("reads a batch and no more, with 0, 1,000 and 200,000 published and 100,000 unpublished rows", async () => {
    const found: [string, { ms: number; steps: string[] }][] = [];
    const look = async (name: string) => found.push([name, await explained((db) => unpublished(db, 300))]);
    await look("nothing");
    await fill(10, 1, "now()");
    await look("1,000 published");
    await stand.query("analyze outbox");
    await fill(1000, 10_000, "null");
    // Nobody has counted yet how much that is.
    await look("and 100,000 unpublished");
    await stand.query("analyze outbox");
    await look("and counted");
    await fill(2000, 100_000, "now()");
    await stand.query("analyze outbox");
    await look("and 200,000 published");
    await stand.query(
      "update outbox set next_attempt_at = 'infinity', parked_at = now() where version = 1 and user_id between 10000 and 10099",
    );
    await look("and a hundred users held");
    for (const [name, { ms }] of found) expect([name, ms < 100]).toEqual([name, true]);
    // Sorting what there is costs nothing only as long as there is little.
    for (const [name, { steps }] of found.slice(2)) {
      expect([name, steps.filter((step) => /Sort|Seq Scan|Hash|Bitmap/.test(step))]).toEqual([name, []]);
    }
  });

  test("100,000 that came after the planner had counted a few: nothing reads or sorts all of them", async () => {
    await fill(200, 1, "now()");
    await fill(1, 1000, "null");
    await stand.query("analyze outbox");
    await fill(1000, 10_000, "null");
    const ids = await stand.query<{ id: string }>("select id from outbox where published_at is null limit 300");
    const asked: readonly (readonly [string, string[], (db: Database) => Promise<unknown>])[] = [
      ["reading a batch", ["outbox_queue", "outbox_holding"], (db) => unpublished(db, 300)],
      [
        "marking it",
        ["outbox_pkey"],
        (db) =>
          markPublished(
            db,
            ids.map(({ id }) => id),
          ),
      ],
    ];
    for (const [name, wanted, ask] of asked) {
      const { ms, steps, indexes } = await explained(ask);
      expect([name, indexes.toSorted(), steps.filter((step) => /Sort|Seq/.test(step))]).toEqual([
        name,
        wanted.toSorted(),
        [],
      ]);
      expect([name, ms < 100]).toEqual([name, true]);
    }
    const { ms, steps } = await explained(queueHead);
    expect([steps.filter((step) => /Sort/.test(step)), ms < 100]).toEqual([[], true]);
  });

  test("a thousand parked users with 100,000 changes behind them, which nobody has counted: no statement takes too long", async () => {
    await fill(1000, 1, "null");
    await stand.query("update outbox set next_attempt_at = 'infinity', parked_at = now() where version = 1");
    const { relay, told } = relayTo(() => undefined);
    // Each statement has 2.5 s by the settings of the connection.
    while ((await relay()) === "more");
    expect(await rows("next_attempt_at is null")).toEqual([]);
    expect(await unpublished(db, 300)).toEqual([]);
    expect(await state()).toEqual({ unpublished: 100_000, oldestSeconds: 0, parked: 1000, held: 99_000 });
    expect(told).toEqual([]);
    expect(await retryParked(db, undefined)).toBe(1000);
    // While it is let go step by step, what is free is told already.
    const again = relayTo(() => undefined);
    for (let turn = 1; turn <= 6; turn++) expect(await again.relay()).toBe("more");
    const versions = Map.groupBy(again.told, (one) => one.split(":")[0]);
    for (const [user, ones] of versions) expect(ones).toEqual(ones.map((_, nth) => `${user}:${nth + 1}`));
    expect(again.told).toHaveLength(6 * 300);
    while ((await holdBehindParked(db)) === "more");
    expect(await rows("next_attempt_at is not null")).toEqual([]);
    expect(await unpublished(db, 300)).toHaveLength(300);
  });

  test("more parked changes than are changed at once: all are tried again", async () => {
    await fill(120, 1, "null");
    await stand.query("update outbox set next_attempt_at = 'infinity', parked_at = now(), missing_topic = 'gone'");
    expect(await unparkOfTopic(db, "another")).toBe(0);
    expect(await unparkOfTopic(db, "gone")).toBe(12_000);
    expect(await state()).toMatchObject({ parked: 0, unpublished: 12_000 });
  });
});
