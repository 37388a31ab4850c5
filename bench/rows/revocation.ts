import { join } from "node:path";
import pg from "pg";
import { Skipped, type Figure, type Row } from "../row.ts";
import { median, quantile } from "../support/measure.ts";
import { createStand } from "../support/service.ts";
import { eventually } from "../../test/support/eventually.ts";
import { hasNats, startNats } from "../../test/support/nats-server.ts";
import { startNodes } from "../../test/support/nodes.ts";
import { kinds, revokeAndWatch, signUp, type Kind, type Platform, type Times } from "../../test/support/revocation.ts";

const trials = Number(process.env["BENCH_TRIALS"] ?? 200);
const dropRevocations = join(import.meta.dirname, "../../test/support/drop-revocations.ts");

/** How long after its answer a revocation counts at both doors of three nodes, which tell each other over NATS. */
export const revocation: Row = async (log) => {
  if (!hasNats()) throw new Skipped("there is no nats-server (apt-get install nats-server)");
  const nats = await startNats();
  try {
    return await onThreeNodes({ TRANSPORTER: nats.url }, [], (platform) => byBroadcast(platform, log));
  } finally {
    await nats.stop();
  }
};

/** The same with every broadcast lost, on all nodes: without a transporter, and the one that made the change is deaf as well. */
export const revocationByPoll: Row = (log) => onThreeNodes({}, [dropRevocations], (platform) => byPoll(platform, log));

async function onThreeNodes(
  changes: Record<string, string>,
  imports: readonly string[],
  measure: (on: Platform) => Promise<Figure[]>,
): Promise<Figure[]> {
  const stand = await createStand();
  const pool = new pg.Pool(stand.database);
  const query: Platform["query"] = (text, values) => pool.query(text, values);
  // Not as in production: hundreds of accounts are registered, whose hashes are not what is measured.
  const env = { ...stand.env, NODE_ENV: "test", PASSWORD_HASH_COST: "4", ...changes };
  const nodes = await startNodes(3, env, { imports });
  try {
    return await measure({ nodes, query, moderator: await signUp({ nodes, query }, "MO") });
  } finally {
    await Promise.all(nodes.map((node) => node.stop()));
    await pool.end();
    await stand.stop();
  }
}

/** One after the other. */
async function byBroadcast(on: Platform, log: (line: string) => void): Promise<Figure[]> {
  const measure = async (kind: Kind, nth: number): Promise<Times> =>
    await (
      await revokeAndWatch(on, kind, { nth, everyMs: 1, withinMs: 10_000 })
    ).noticed;
  await eventually("the nodes have found each other", async () => {
    const times = [await measure("logout", 0), await measure("logout", 1), await measure("logout", 2)];
    return times.flatMap(({ REST, gRPC }) => [...REST, ...gRPC]).every((ms) => ms < 500) ? true : undefined;
  });
  const figures: Figure[] = [];
  for (const kind of kinds) {
    const times: Times[] = [];
    for (let nth = 0; nth < trials; nth++) times.push(await measure(kind, nth));
    figures.push(...figuresOf(kind, times, { quantile: 0.99, atMost: 1000 }, log));
  }
  return figures;
}

/** Many at once: each takes as long as the next poll. */
async function byPoll(on: Platform, log: (line: string) => void): Promise<Figure[]> {
  const figures: Figure[] = [];
  for (const kind of kinds) {
    const watched: Promise<Times>[] = [];
    for (let nth = 0; nth < trials; nth++) {
      const { noticed } = await revokeAndWatch(on, kind, { nth, everyMs: 100, withinMs: 10_000 });
      watched.push(noticed);
    }
    figures.push(...figuresOf(kind, await Promise.all(watched), { quantile: 1, atMost: 5000 }, log));
  }
  return figures;
}

/** Of each trial the slowest node counts. */
function figuresOf(
  name: string,
  times: readonly Times[],
  bound: { readonly quantile: number; readonly atMost: number },
  log: (line: string) => void,
): Figure[] {
  return (["REST", "gRPC"] as const).map((door) => {
    const slowest = times.map((each) => Math.max(...each[door]));
    const [p50, p99, max] = [median(slowest), quantile(slowest, 0.99), Math.max(...slowest)].map((ms) => ms.toFixed(0));
    log(`${name}, ${door}, ${times.length} times on 3 nodes: p50 ${p50} ms, p99 ${p99} ms, max ${max} ms`);
    const unit = bound.quantile === 1 ? "ms at most" : "ms p99";
    return { name: `${name}, ${door}`, value: quantile(slowest, bound.quantile), unit, atMost: bound.atMost };
  });
}
