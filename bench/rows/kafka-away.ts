import pg from "pg";
import { serviceNames } from "../../lib/config.ts";
import { eventually } from "../../test/support/eventually.ts";
import { password, registration } from "../../test/support/people.ts";
import type { Figure, Row } from "../row.ts";
import { pinned } from "../support/cores.ts";
import { httpClient, type Send } from "../support/http.ts";
import { createKafka } from "../support/kafka.ts";
import { mean, quantile } from "../support/measure.ts";
import { every } from "../support/pace.ts";
import { createStand, startNode } from "../support/service.ts";

/** How long Kafka is away; the claim is about ten. */
const minutes = Number(process.env["KAFKA_AWAY_MINUTES"] ?? 1 / 3);
const secondsAway = minutes * 60;
/** Before and after, with which the time in between is compared. */
const secondsNormal = Math.min(120, secondsAway);
const warmUpSeconds = 10;
/** Per second, of each kind; together they hash for half of a core. */
const perSecond = 3;
const maxAtOnce = 16;
const drainLimitMs = 120_000;

interface Times {
  readonly registration: number[];
  readonly login: number[];
  /** Told to come again: on a busy machine hashes wait too long. Only those that came through count. */
  refused: number;
}
type Kind = "registration" | "login";

/** Registrations and sign-ins while Kafka is a black hole, against those before and after. */
export const kafkaAway: Row = pinned(async (log) => {
  if (!(minutes > 0)) throw new Error("KAFKA_AWAY_MINUTES must be a number of minutes");
  const kafka = await createKafka({ proxied: true });
  const stand = await createStand();
  const client = new pg.Client(stand.database);
  await client.connect();
  const waiting = async (): Promise<number> => {
    const { rows } = await client.query<{ count: number }>(
      "select count(*)::int as count from outbox where published_at is null",
    );
    return rows[0]?.count ?? NaN;
  };
  const drained = () =>
    eventually("the outbox is empty", async () => ((await waiting()) === 0 ? true : undefined), drainLimitMs);
  try {
    const node = await startNode(stand, { SERVICES: serviceNames.join(), ...kafka.env });
    try {
      const send = httpClient(node.url);
      await load(send, warmUpSeconds);
      const before = await load(send, secondsNormal);
      await drained();
      kafka.proxy?.blackhole();
      const away = await load(send, secondsAway);
      const backlog = await waiting();
      await kafka.proxy?.restore();
      await drained();
      const after = await load(send, secondsNormal);
      await drained();
      return [
        ...compare("registration", before, away, after, log),
        ...compare("login", before, away, after, log),
        { name: "refused, Kafka away", value: away.refused, unit: "calls" },
        { name: "refused, normal", value: before.refused + after.refused, unit: "calls" },
        { name: "waiting when Kafka came back", value: backlog, unit: "changes", atLeast: 1 },
      ];
    } finally {
      await node.stop();
    }
  } finally {
    await client.end();
    await stand.stop();
    await kafka.stop();
  }
});

/** @returns milliseconds of each answer */
async function load(send: Send, seconds: number): Promise<Times> {
  const times: Times = { registration: [], login: [], refused: 0 };
  const { email } = registration();
  const timed = async (kind: Kind, path: string, body: object, wanted: number): Promise<void> => {
    const began = performance.now();
    const status = await send("POST", path, body).catch(() => 0);
    if (status === 503) {
      times.refused++;
      return;
    }
    if (status !== wanted) throw new Error(`${kind}: ${status} and not ${wanted}`);
    times[kind].push(performance.now() - began);
  };
  const account = { ...registration(), email };
  while ((await send("POST", "/api/v1/users/customers/", account)) === 503);
  const failed = Promise.withResolvers<never>();
  failed.promise.catch(() => undefined);
  const stops = [
    () => timed("registration", "/api/v1/users/customers/", registration(), 201),
    () => timed("login", "/api/v1/tokens/", { email, password }, 200),
  ].map((job) => every(1000 / perSecond, maxAtOnce, () => job().catch(failed.reject)));
  try {
    await Promise.race([new Promise((resolve) => setTimeout(resolve, seconds * 1000)), failed.promise]);
  } finally {
    for (const stop of stops) stop();
  }
  return times;
}

function compare(kind: Kind, before: Times, away: Times, after: Times, log: (line: string) => void): Figure[] {
  return [0.5, 0.95].flatMap((part) => {
    const name = `${kind}, p${part * 100}`;
    const [one, between, other] = [before, away, after].map((times) => quantile(times[kind], part));
    const normal = mean([one ?? NaN, other ?? NaN]);
    const [first, middle, last] = [one, between, other].map((ms) => (ms ?? NaN).toFixed(1));
    log(`${name}: ${first ?? ""} ms, ${middle ?? ""} ms with Kafka away, ${last ?? ""} ms`);
    return [
      { name: `${name}, Kafka away / normal`, value: (between ?? NaN) / normal, unit: "ratio", atMost: 1.2 },
      { name: `${name}, normal`, value: normal, unit: "ms" },
    ];
  });
}
