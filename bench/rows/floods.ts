import { join } from "node:path";
import type { Figure, Row } from "../row.ts";
import { startChild } from "../support/child.ts";
import { pinned } from "../support/cores.ts";
import { httpClient } from "../support/http.ts";
import { median, quantile, ratioFigures, timesDuring } from "../support/measure.ts";
import { createStand, startNode } from "../support/service.ts";
import { signedIn } from "../support/signed-in.ts";
import { floods, openFlooder, type Flooder, type FloodName } from "../../test/support/floods.ts";

const everyMs = 10;
const warmUpMs = 10_000;
/** Of each kind; with its turns elsewhere and without, a round is no shorter than this. */
const rounds = 5;
const roundMs = 12_000;
const betweenMs = 1000;
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/**
 * What a healthy client notices of hostile connections: the own account, a hundred times a second. Each flood takes turns
 * with the same one against a bare listener, for an attacker has machines of his own and this one shares the client's, and
 * with nobody else. The median of the rounds counts: this machine's host stops it for some ms now and then, which is a whole
 * round's p99.
 */
export const underFloods: Row = pinned(async (log) => {
  const stand = await createStand();
  const [person] = await signedIn(stand, 1);
  const node = await startNode(stand);
  const somebody = startChild(join(import.meta.dirname, "../baselines/bare-listener.ts"), {
    anyCore: true,
    nodeArgs: ["--single-threaded"],
  });
  const flooder = openFlooder({ inBackground: true });
  try {
    const send = httpClient(node.url);
    const token = person?.accessToken ?? "";
    const ask = () => send("GET", "/api/v1/users/current/", undefined, { authorization: `Bearer ${token}` });
    const timesBeside = (what: Promise<unknown>) => timesDuring(what, everyMs, ask);
    const ports = { node: Number(new URL(node.url).port), somebody: Number(await somebody.ready) };
    await timesBeside(pause(warmUpMs));
    const figures: Figure[] = [];
    for (const name of Object.keys(floods) as FloodName[]) {
      const before = await node.usage();
      // The first one is not counted: V8 compiles what it has never run before.
      await flooder.flood({ name, token, port: ports.node });
      const results: Round[] = [];
      for (let nth = 0; nth < rounds; nth++)
        results.push(await round(flooder, { name, token }, ports, timesBeside, log));
      const grown = (await node.usage()).rss - before.rss;
      log(`${name}: ${Math.round(grown)} MB more`);
      // Whoever can send so many requests at once is one for the proxy in front; here it counts that the node lives.
      const bound = name === requestFlood ? {} : { atMost: 2 };
      for (const [what, times] of [
        ["", results.map(({ flooded }) => flooded)],
        [", the same against somebody else", results.map(({ elsewhere }) => elsewhere)],
        [", against nobody", results.map(({ quiet }) => quiet)],
      ] as const)
        figures.push({ name: `p99, ${name}${what}`, value: median(times), unit: "ms" });
      const ratios = (of: (result: Round) => number) => results.map((result) => result.flooded / of(result));
      figures.push(
        ...ratioFigures(
          `p99, ${name} / against somebody else`,
          ratios(({ elsewhere }) => elsewhere),
          bound,
        ),
        ...ratioFigures(
          `p99, ${name} / against nobody`,
          ratios(({ quiet }) => quiet),
          bound,
        ),
      );
    }
    return figures;
  } finally {
    await flooder.close();
    await somebody.stop();
    await node.stop();
    await stand.stop();
  }
});

const p99 = (times: readonly number[]): number => quantile(times, 0.99);
const requestFlood: FloodName = "a thousand requests in a pipeline, answers not read";

/** p99 of the healthy client, ms. */
interface Round {
  readonly flooded: number;
  readonly elsewhere: number;
  readonly quiet: number;
}

/** A flood, the same elsewhere, and then nothing for as long, again and again until it is enough. */
async function round(
  flooder: Flooder,
  order: { readonly name: FloodName; readonly token: string },
  ports: { readonly node: number; readonly somebody: number },
  timesBeside: (what: Promise<unknown>) => Promise<number[]>,
  log: (line: string) => void,
): Promise<Round> {
  const [flooded, elsewhere, quiet]: [number[], number[], number[]] = [[], [], []];
  const floodOf = async (port: number): Promise<number[]> => {
    const flooding = flooder.flood({ ...order, port });
    const times = await timesBeside(flooding.then(() => pause(betweenMs)));
    const { answers, longestMs, megabytes } = await flooding;
    log(`${order.name}: ${JSON.stringify(answers)}, ${longestMs} ms, ${megabytes} MB sent`);
    return times;
  };
  for (const end = performance.now() + roundMs; performance.now() < end;) {
    const began = performance.now();
    flooded.push(...(await floodOf(ports.node)));
    const lasted = performance.now() - began;
    elsewhere.push(...(await floodOf(ports.somebody)));
    quiet.push(...(await timesBeside(pause(lasted))));
  }
  const result = { flooded: p99(flooded), elsewhere: p99(elsewhere), quiet: p99(quiet) };
  const [ms, msElsewhere, msQuiet] = [result.flooded, result.elsewhere, result.quiet].map((value) => value.toFixed(1));
  log(`${order.name}: ${ms} ms, somebody else ${msElsewhere} ms, nobody ${msQuiet} ms`);
  return result;
}
