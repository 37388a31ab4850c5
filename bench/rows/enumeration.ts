import { randomUUID } from "node:crypto";
import pg from "pg";
import type { Figure, Row } from "../row.ts";
import { httpClient, type Send } from "../support/http.ts";
import { median } from "../support/measure.ts";
import { createStand, startNode } from "../support/service.ts";
import { djangoHashes } from "../../test/support/django-hashes.ts";
import { password, registration } from "../../test/support/people.ts";

const samples = Number(process.env["BENCH_SAMPLES"] ?? 300);
const warmUp = 20;
const accounts = 20;

/**
 * What a stranger can learn by the clock: whether an address is known, whether its account is active, and whether it was
 * imported and has not signed in since. Sending the
 * verification link again is not here: it takes a session, and no address.
 */
export const enumeration: Row = async (log) => {
  const stand = await createStand();
  const start = () => startNode(stand, { PASSWORD_HASH_COST: "10" }, { anyCore: true });
  let node = await start();
  const client = new pg.Client(stand.database);
  await client.connect();
  try {
    let send = httpClient(node.url);
    const [active, inactive] = [await register(send), await register(send)];
    await client.query("update users set is_active = false where email = any($1)", [inactive]);
    const figures: Figure[] = [];
    for (const [name, pair] of Object.entries(pairsOf(send, active, inactive))) {
      figures.push(differenceOf(name, await interleaved(pair), log));
    }
    // Others than before: fifty wrong passwords of each may be tried here.
    const [imported, since] = [await register(send), await register(send)];
    const stored = djangoHashes[0].stored;
    await client.query("update users set password_hash = $2 where email = any($1)", [imported, stored]);
    // Which hashes of Django's are left is looked up at the start, and then once a minute.
    await node.stop();
    node = await start();
    send = httpClient(node.url);
    for (const [name, pair] of Object.entries(importedPairsOf(send, since, imported))) {
      figures.push(differenceOf(name, await interleaved(pair, samples / 3), log));
    }
    return figures;
  } finally {
    await client.end();
    await node.stop();
    await stand.stop();
  }
};

/** @returns milliseconds */
type Timed = () => Promise<number>;
type Pair<T> = readonly [T, T];

function pairsOf(send: Send, active: readonly string[], inactive: readonly string[]): Record<string, Pair<Timed>> {
  const signIn = (email: string, typed: string) => send("POST", "/api/v1/tokens/", { email, password: typed });
  const ask = (email: string) => send("POST", "/api/v1/users/password-reset/", { email });
  const one = (of: readonly string[]) => of[Math.floor(Math.random() * of.length)] ?? "";
  const nobody = () => `nobody.${randomUUID()}@example.com`;
  const wrong = "wrong horse battery";
  const refused = (email: () => string, typed: string) => () => timeOf(401, () => signIn(email(), typed));
  const asked = (email: () => string) => () => timeOf(200, () => ask(email()));
  // Mail is written and sent after the answer, by the same process: whoever asks again at once must not feel it.
  const askedBefore = (email: () => string) => async () => {
    await ask(email());
    return await timeOf(200, () => send("GET", "/health/live"));
  };
  const [known, off] = [() => one(active), () => one(inactive)];
  return {
    "sign-in: known / unknown address": [refused(known, wrong), refused(nobody, wrong)],
    "sign-in: wrong password / inactive": [refused(known, wrong), refused(off, password)],
    "reset: known / unknown address": [asked(known), asked(nobody)],
    "reset: active / inactive": [asked(known), asked(off)],
    "right after a reset: known / unknown address": [askedBefore(known), askedBefore(nobody)],
  };
}

function importedPairsOf(send: Send, since: readonly string[], imported: readonly string[]) {
  const wrong = "wrong horse battery";
  const signIn = (email: string) => send("POST", "/api/v1/tokens/", { email, password: wrong });
  const refused = (email: () => string) => () => timeOf(401, () => signIn(email()));
  const one = (of: readonly string[]) => of[Math.floor(Math.random() * of.length)] ?? "";
  const known = refused(() => one(imported));
  return {
    "sign-in: imported / unknown address": [known, refused(() => `nobody.${randomUUID()}@example.com`)],
    "sign-in: imported / signed in since": [known, refused(() => one(since))],
  } satisfies Record<string, Pair<Timed>>;
}

/** One of each in turn, in an order that nobody knows before: what one leaves behind falls on both. */
async function interleaved(jobs: Pair<Timed>, count = samples): Promise<Pair<readonly number[]>> {
  const times: Pair<number[]> = [[], []];
  for (let nth = -warmUp; nth < count; nth++) {
    for (const which of Math.random() < 0.5 ? ([0, 1] as const) : ([1, 0] as const)) {
      const ms = await jobs[which]();
      if (nth >= 0) times[which].push(ms);
    }
  }
  return times;
}

/** Within 5 % of each other, or a millisecond: less drowns in any network. */
function differenceOf(name: string, times: Pair<readonly number[]>, log: (line: string) => void): Figure {
  const [a, b] = [median(times[0]), median(times[1])];
  const difference = Math.abs(a - b);
  const percent = (100 * difference) / Math.max(a, b);
  log(`${name}: ${a.toFixed(2)} / ${b.toFixed(2)} ms, ${percent.toFixed(1)} % apart, ${times[0].length} samples each`);
  return { name, value: difference, unit: "ms between medians", atMost: Math.max(1, 0.05 * Math.min(a, b)) };
}

async function register(send: Send): Promise<string[]> {
  const people = Array.from({ length: accounts }, () => registration());
  for (const person of people) await timeOf(201, () => send("POST", "/api/v1/users/customers/", person));
  return people.map(({ email }) => email);
}

async function timeOf(wanted: number, job: () => Promise<number>): Promise<number> {
  const begun = performance.now();
  const status = await job();
  if (status !== wanted) throw new Error(`${status} and not ${wanted}`);
  return performance.now() - begun;
}
