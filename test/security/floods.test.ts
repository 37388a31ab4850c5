import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { readdirSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { bearer, signUp, type Person } from "../contract/accounts.ts";
import { eventually } from "../support/eventually.ts";
import { startFlood, type FloodName } from "../support/floods.ts";
import { startProcess, type ServiceProcess } from "../support/process.ts";
import { createStand, type TestStand } from "../support/service.ts";

/** Cases 12 and 78, ASVS 2.4.1: what floods of hostile connections do to a process, and to who else is served by it. */
let stand: TestStand;
let running: ServiceProcess;
let person: Person;
beforeAll(async () => {
  stand = await createStand();
  running = startProcess(stand.env);
  await running.ready();
  person = await signUp(stand);
  // Of the first one that makes garbage V8 keeps the room.
  await askUntil(flood("a thousand requests in a pipeline, answers not read"));
});
afterAll(async () => {
  await running.stop();
  await stand.stop();
});

const flood = (name: FloodName) => startFlood({ name, port: Number(new URL(stand.url).port), token: person.token });
const megabytes = (): number => Number(execFileSync("ps", ["-o", "rss=", "-p", String(running.pid)])) / 1024;

/** A healthy client, ten times a second. @returns its statuses, and the most memory that the service had meanwhile */
async function askUntil(over: Promise<unknown>): Promise<{ statuses: Set<number>; peak: number }> {
  const statuses = new Set<number>();
  let peak = 0;
  const isOver = over.then(() => true);
  const pause = () => new Promise<false>((resolve) => setTimeout(resolve, 100, false));
  do {
    statuses.add((await stand.client().get("/api/v1/users/current/", bearer(person.token))).status);
    peak = Math.max(peak, megabytes());
  } while (!(await Promise.race([isOver, pause()])));
  return { statuses, peak };
}

/** What each may end in; how it is closed is a race between the answer and the client that does not listen. */
const expected: readonly [FloodName, string[], { withinMs: number; atMostMegabytes: number }][] = [
  ["slow headers and bodies", ["408"], { withinMs: 20_000, atMostMegabytes: 5 }],
  ["endless headers", ["431", "closed"], { withinMs: 10_000, atMostMegabytes: 3000 }],
  ["10,000 empty headers", ["431", "closed"], { withinMs: 10_000, atMostMegabytes: 30 }],
  ["100 MB of JSON", ["413", "closed"], { withinMs: 10_000, atMostMegabytes: 2000 }],
  ["100 MB of JSON in chunks", ["413", "closed"], { withinMs: 10_000, atMostMegabytes: 2000 }],
  ["100 MB for a path that there is not", ["413", "closed"], { withinMs: 10_000, atMostMegabytes: 2000 }],
  ["100 MB in chunks with a GET", ["200", "closed"], { withinMs: 10_000, atMostMegabytes: 2000 }],
  ["100 MB as a picture, not signed in", ["401", "closed"], { withinMs: 10_000, atMostMegabytes: 2000 }],
  ["a thousand requests in a pipeline, answers not read", ["closed"], { withinMs: 15_000, atMostMegabytes: 200 }],
  ["100 MB as a picture, signed in", ["413", "503", "closed"], { withinMs: 20_000, atMostMegabytes: 4000 }],
];

describe("78 a flood of hostile connections: refused or closed, memory stays flat, others are served", () => {
  test.each(expected)("%s", async (name, outcomes, { withinMs, atMostMegabytes }) => {
    const before = megabytes();
    const over = flood(name);
    const { statuses, peak } = await askUntil(over);
    const { answers, longestMs, megabytes: sent } = await over;
    expect(Object.keys(answers).filter((outcome) => !outcomes.includes(outcome))).toEqual([]);
    expect([...statuses]).toEqual([200]);
    expect(longestMs).toBeLessThan(withinMs);
    expect(sent).toBeLessThan(atMostMegabytes);
    expect(peak - before).toBeLessThan(150);
  });
});

/** As many as a process may have, less what else it needs; on most machines all of them. */
const wanted = 10_000;
const allowed = Number(execFileSync("sh", ["-c", "ulimit -n"], { encoding: "utf8" })) || wanted + 1000;
const idle = Math.min(wanted, allowed - 1000);
if (idle < wanted) process.stderr.write(`NOT TESTED: ${wanted} idle connections, only ${idle} (ulimit -n)\n`);

/** One request on a connection that then stays as it is. @returns the connection and the status of the answer */
async function goIdle(): Promise<{ socket: Socket; status: string }> {
  const socket = connect(Number(new URL(stand.url).port), "127.0.0.1");
  socket.on("error", () => undefined).write("GET /health/live HTTP/1.1\r\nHost: idle\r\n\r\n");
  const [answer] = (await once(socket, "data")) as [Buffer];
  socket.resume();
  return { socket, status: answer.toString("latin1").slice(9, 12) };
}

test("78 10,000 idle connections: borne, each for a few kilobytes, and others are served", async () => {
  const descriptors = () => (process.platform === "linux" ? readdirSync(`/proc/${running.pid}/fd`).length : 0);
  const before = { memory: megabytes(), descriptors: descriptors() };
  const kept: Awaited<ReturnType<typeof goIdle>>[] = [];
  const opening = (async () => {
    while (kept.length < idle) kept.push(...(await Promise.all(Array.from({ length: 250 }, goIdle))));
  })();
  expect([...(await askUntil(opening)).statuses]).toEqual([200]);
  expect(new Set(kept.map(({ status }) => status))).toEqual(new Set(["200"]));
  // They cost no time any more, and nobody is thrown out for them.
  const times: number[] = [];
  for (let nth = 0; nth < 100; nth++) {
    const began = performance.now();
    expect((await stand.client().get("/api/v1/users/current/", bearer(person.token))).status).toBe(200);
    times.push(performance.now() - began);
  }
  expect(times.toSorted((a, b) => a - b)[50]).toBeLessThan(50);
  expect(kept.filter(({ socket }) => socket.closed)).toEqual([]);
  const kilobytesEach = ((megabytes() - before.memory) * 1024) / idle;
  expect(kilobytesEach).toBeLessThan(30);
  for (const { socket } of kept) socket.destroy();
  await eventually("they are let go", () => (descriptors() < before.descriptors + 100 ? true : undefined));
}, 60_000);
