import { Agent } from "node:http";
import type { Row } from "../row.ts";
import { pinned } from "../support/cores.ts";
import { exchange } from "../support/exchange.ts";
import { GrpcLoad } from "../support/grpc-load.ts";
import { httpClient } from "../support/http.ts";
import { mean, slope } from "../support/measure.ts";
import { every } from "../support/pace.ts";
import { path, roleCalls } from "../support/role-calls.ts";
import { createStand, startNode } from "../support/service.ts";
import { signedIn } from "../support/signed-in.ts";
import { password, registration } from "../../test/support/people.ts";

const minutes = Number(process.env["SOAK_MINUTES"] ?? 30);
/** Caches fill and V8 optimises: that is growth, and ends; sooner with twice the pages, exchanges and sign-ins. */
const warmUpMinutes = minutes / 6;
const sampleSeconds = 10;
/** The server closes a connection after half an hour; callers are new before that. */
const samplesPerConnection = 60;
const people = 2000;
/** Asked for once: more than a node remembers, so that its bounded caches are full before memory is looked at. */
const strangers = 55_000;
const strangersSeconds = 40;
/** Of each kind: a machine that is busy with other things must not become a flood. */
const maxAtOnce = 64;
/** What Node chooses by itself in a container of half a gigabyte; on a large machine it collects when it has gigabytes. */
const container = ["--max-old-space-size=256", "--max-semi-space-size=16"];
/** Per second; together about half of what the server's core does. */
const rates = { roles: 1200, pages: 240, exchanges: 30, signIns: 1.2, registrations: 0.6 };

/** Half an hour of everything at half load: the memory must not grow. */
export const soak: Row = pinned(async (log) => {
  const stand = await createStand();
  const everybody = await signedIn(stand, people + strangers);
  const customers = everybody.slice(0, people);
  const node = await startNode(stand, {}, { nodeArgs: container });
  const send = httpClient(node.url);
  const connectCallers = () => new GrpcLoad([node.grpcAddress], path, roleCalls(customers), 8);
  let load = connectCallers();
  const agent = new Agent({ keepAlive: true });
  const unexpected = new Map<string, number>();
  const expecting = (what: string, wanted: number) => (status: number) => {
    const seen = `${what} ${status}`;
    if (status !== wanted) unexpected.set(seen, (unexpected.get(seen) ?? 0) + 1);
  };
  const failing = (what: string) => () => expecting(what, 200)(0);
  const { email } = registration();
  expecting(
    "registration",
    201,
  )(await send("POST", "/api/v1/users/customers/", { ...registration(), email, password }));
  // Every token once: what nobody knows yet is asked for in PostgreSQL.
  const others = new GrpcLoad([node.grpcAddress], path, roleCalls(everybody.slice(people)), 8);
  await others.closedLoop(4, strangersSeconds);
  others.close();
  await load.closedLoop(2, 5);
  let [page, exchanged] = [0, 0];
  const tokens = customers.map(({ refreshToken }) => refreshToken);
  const startPaces = () => [
    every(1000 / rates.pages, maxAtOnce, () => {
      const cookie = `access_token=${customers[page++ % people]?.accessToken ?? ""}`;
      const shown = send("GET", "/api/v1/users/current/", undefined, { cookie });
      return shown.then(expecting("page", 200), failing("page"));
    }),
    every(1000 / rates.exchanges, maxAtOnce, () => {
      const owner = exchanged++ % people;
      const attempt = () => exchange(node.url, agent, tokens[owner] ?? "");
      // As a client does: the same token again, before it counts as stolen.
      const next = attempt().catch(attempt);
      return next.then((token) => (tokens[owner] = token), failing("exchange"));
    }),
    every(1000 / rates.signIns, maxAtOnce, () =>
      send("POST", "/api/v1/tokens/", { email, password }).then(expecting("sign-in", 200), failing("sign-in")),
    ),
    every(1000 / rates.registrations, maxAtOnce, () =>
      send("POST", "/api/v1/users/customers/", registration()).then(
        expecting("registration", 201),
        failing("registration"),
      ),
    ),
  ];
  const paces = startPaces();
  const warmingUp = startPaces();
  try {
    const samples: { minute: number; rss: number }[] = [];
    let before = await node.usage();
    const began = performance.now();
    let errors = 0;
    for (let minute = 0; minute < minutes; minute = (performance.now() - began) / 60_000) {
      errors += (await load.openLoop(rates.roles, sampleSeconds, maxAtOnce)).errors;
      samples.push({ minute, rss: (await node.usage()).rss });
      if (samples.length % samplesPerConnection === 0) {
        load.close();
        load = connectCallers();
      }
      if (warmingUp.length > 0 && minute >= warmUpMinutes) {
        for (const stop of warmingUp.splice(0)) stop();
        if (unexpected.size > 0) log(`unexpected while it warmed up: ${JSON.stringify([...unexpected])}`);
        unexpected.clear();
        before = await node.usage();
      }
      if (samples.length % 6 === 0) log(`${minute.toFixed(1)} min: ${samples.at(-1)?.rss.toFixed(1) ?? ""} MB`);
    }
    const cpu = ((await node.usage()).cpu - before.cpu) / (performance.now() - began - warmUpMinutes * 60_000);
    const steady = samples.filter(({ minute }) => minute >= warmUpMinutes);
    if (unexpected.size > 0) log(`unexpected: ${JSON.stringify([...unexpected])}`);
    const refused = [...unexpected.values()].reduce((sum, count) => sum + count, 0);
    return [
      {
        name: "growth of memory after the warm-up",
        value: slope(steady.map(({ minute, rss }) => [minute, rss])),
        unit: "MB RSS per minute",
        atMost: 0.2,
      },
      { name: "memory", value: mean(steady.map(({ rss }) => rss)), unit: "MB RSS, mean" },
      { name: "memory, most", value: Math.max(...steady.map(({ rss }) => rss)), unit: "MB RSS" },
      { name: "load", value: cpu, unit: "cores" },
      { name: "errors", value: errors + refused, unit: "calls", atMost: 0 },
      { name: "took", value: (performance.now() - began) / 60_000, unit: "minutes" },
    ];
  } finally {
    for (const stop of [...paces, ...warmingUp]) stop();
    load.close();
    agent.destroy();
    await node.stop();
    await stand.stop();
  }
});
