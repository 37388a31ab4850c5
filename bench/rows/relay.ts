import pg from "pg";
import { serviceNames } from "../../lib/config.ts";
import type { ReceivedMessage } from "../../services/events/kafka.ts";
import { eventually } from "../../test/support/eventually.ts";
import type { Figure, Row } from "../row.ts";
import { pinned } from "../support/cores.ts";
import { createKafka, type BenchKafka } from "../support/kafka.ts";
import { median, quantile } from "../support/measure.ts";
import { createStand, startNode, type MeasuredNode, type Stand } from "../support/service.ts";
import { signedIn } from "../support/signed-in.ts";

/** Users with a backlog, round for round; the last one is an hour's worth of changes and shows that memory stays flat. */
const rounds = [2000, 2000, 2000, 10_000];
const changesEach = 10;
const idleChanges = 200;
/** Longer than a change takes on its way, so that none meets the one before. */
const idlePauseMs = 60;
/** What a customer's registration is told to: three messages. */
const topics = ["user_order", "user_review", "user_events"] as const;

/** The outbox to a real Kafka: how long a single change takes, and how fast a backlog drains, in which order. */
export const relay: Row = pinned(async (log) => {
  const kafka = await createKafka();
  const stand = await createStand();
  const client = new pg.Client(stand.database);
  await client.connect();
  try {
    const node = await startNode(stand, { SERVICES: serviceNames.join(), ...kafka.env });
    try {
      return [...(await idleLatency(stand, node, kafka, log)), ...(await drain(client, node, kafka, log))];
    } finally {
      await node.stop();
    }
  } finally {
    await client.end();
    await stand.stop();
    await kafka.stop();
  }
});

/** One change at a time. Counted from where its transaction began, so more than from its commit, to where a consumer has it. */
async function idleLatency(
  stand: Stand,
  node: MeasuredNode,
  kafka: BenchKafka,
  log: (line: string) => void,
): Promise<Figure[]> {
  const [person] = await signedIn(stand, 1);
  if (!person) throw new Error("nobody is signed in");
  const times: number[] = [];
  await kafka.read(["user_events"], ({ headers }) => {
    if (headers["ce_type"] === "user.profile_updated") times.push(Date.now() - Date.parse(headers["ce_time"] ?? ""));
  });
  const headers = { authorization: `Bearer ${person.accessToken}`, "content-type": "application/json" };
  for (let nth = 1; nth <= idleChanges; nth++) {
    const body = JSON.stringify({ user_profile: { first_name: `Anna ${nth}` } });
    const answer = await fetch(`${node.url}/api/v1/users/current/`, { method: "PATCH", headers, body });
    if (!answer.ok) throw new Error(`a change was refused: ${answer.status}`);
    await eventually(`change ${nth} is in Kafka`, () => (times.length >= nth ? true : undefined));
    await new Promise((resolve) => setTimeout(resolve, idlePauseMs));
  }
  // The first ones meet a producer that has to connect, and code that has never run.
  const warm = times.slice(20);
  log(`idle: p50 ${median(warm)} ms, p99 ${quantile(warm, 0.99)} ms, most ${Math.max(...warm)} ms`);
  return [
    { name: "begin of transaction to consumer, idle", value: median(warm), unit: "ms p50", atMost: 20 },
    { name: "begin of transaction to consumer, idle, p99", value: quantile(warm, 0.99), unit: "ms p99", atMost: 100 },
  ];
}

async function drain(
  client: pg.Client,
  node: MeasuredNode,
  kafka: BenchKafka,
  log: (line: string) => void,
): Promise<Figure[]> {
  const rates: number[] = [];
  const cpu: number[] = [];
  const memory: number[] = [];
  for (const [round, users] of rounds.entries()) {
    const before = await node.usage();
    await appendBacklog(client, round, users);
    let most = 0;
    const rate = await drained(client, round, async () => {
      most = Math.max(most, (await node.usage()).rss);
    });
    cpu.push((((await node.usage()).cpu - before.cpu) / users / changesEach) * 1000);
    const figures = `${rate.toFixed(0)} changes a second, ${(cpu.at(-1) ?? 0).toFixed(0)} µs CPU each`;
    log(`drain of ${users * changesEach}: ${figures}, at most ${most.toFixed(0)} MB`);
    rates.push(rate);
    memory.push(most);
  }
  const wrong = await outOfOrder(client, kafka);
  const large = (rounds.at(-1) ?? 0) * changesEach;
  return [
    {
      name: "drain of a backlog of 20,000, three messages a change",
      value: median(rates.slice(0, -1)),
      unit: "changes per second",
      atLeast: 2000,
    },
    { name: `drain of a backlog of ${large}`, value: rates.at(-1) ?? NaN, unit: "changes per second", atLeast: 2000 },
    {
      name: `memory, most: backlog of ${large} / of 20,000`,
      value: (memory.at(-1) ?? NaN) / Math.max(...memory.slice(0, -1)),
      unit: "ratio",
      atMost: 1.2,
    },
    { name: `memory, most, backlog of ${large}`, value: memory.at(-1) ?? NaN, unit: "MB" },
    { name: "drain, CPU time per change", value: median(cpu), unit: "µs" },
    { name: "lost or out of order", value: wrong, unit: "users and topics", atMost: 0 },
  ];
}

/** Nobody with these numbers has an account, so no other change of theirs comes in between. */
const firstUser = (round: number): number => 1_000_000 * (round + 1);

/** In one transaction: it is there at once. */
async function appendBacklog(client: pg.Client, round: number, users: number): Promise<void> {
  await client.query(
    `insert into outbox (id, user_id, version, type, data)
     select gen_random_uuid(), $1 + u, v, 'user.registered',
       '{"role": "CU", "full_name": "Zoë Łącka", "image_url": "http://127.0.0.1:8000/media/default-avatar.svg"}'
     from generate_series(1, $3::int) v, generate_series(1, $2::int) u order by v, u`,
    [firstUser(round), users, changesEach],
  );
}

/** @returns changes per second, from the first one marked as published to the last */
async function drained(client: pg.Client, round: number, look: () => Promise<void>): Promise<number> {
  await eventually(
    "the backlog has drained",
    async () => {
      // By the index of what waits: asking must not slow down what is asked about.
      const open = await client.query("select from outbox where user_id > $1 and published_at is null limit 1", [
        firstUser(round),
      ]);
      if (open.rowCount === 0) return true;
      await look();
      await new Promise((resolve) => setTimeout(resolve, 300));
      return undefined;
    },
    120_000,
  );
  const { rows } = await client.query<{ rate: number }>(
    `select count(*) filter (where published_at > (select min(published_at) from outbox where user_id > $1))
       / extract(epoch from max(published_at) - min(published_at))::float8 as rate from outbox where user_id > $1`,
    [firstUser(round)],
  );
  return rows[0]?.rate ?? NaN;
}

/** Of every user in every topic, each change once in the order of its versions; repetitions do not count. */
async function outOfOrder(client: pg.Client, kafka: BenchKafka): Promise<number> {
  const { rows } = await client.query<{ id: string; version: number }>(
    "select id, version from outbox where user_id > $1",
    [firstUser(0)],
  );
  const versions = new Map(rows.map(({ id, version }) => [id, version]));
  const last = new Map<string, number>();
  const wrong = new Set<string>();
  let read = 0;
  await kafka.read(topics, ({ topic, headers }: ReceivedMessage) => {
    const version = versions.get(headers["ce_id"] ?? "");
    if (version === undefined) return;
    const key = `${topic} ${headers["ce_subject"] ?? ""}`;
    const before = last.get(key) ?? 0;
    if (version <= before) return;
    if (version > before + 1) wrong.add(key);
    last.set(key, version);
    read++;
  });
  await eventually("all has been read", () => (read >= rows.length * topics.length ? true : undefined), 120_000).catch(
    () => undefined,
  );
  const incomplete =
    rounds.reduce((sum, users) => sum + users, 0) * topics.length -
    [...last.values()].filter((version) => version === changesEach).length;
  return Math.max(wrong.size, incomplete);
}
