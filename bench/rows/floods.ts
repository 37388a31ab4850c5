import { join } from "node:path";
import type { Figure, Row } from "../row.ts";
import { startChild } from "../support/child.ts";
import { pinned } from "../support/cores.ts";
import { httpClient } from "../support/http.ts";
import { quantile, timesDuring } from "../support/measure.ts";
import { createStand, startNode } from "../support/service.ts";
import { signedIn } from "../support/signed-in.ts";
import { floods, openFlooder, type Flooder, type FloodName } from "../../test/support/floods.ts";

const everyMs = 10;
const warmUpMs = 10_000;
/** Of each kind, with its turns elsewhere and without. */
const floodMs = 60_000;
const betweenMs = 1000;
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/**
 * What a healthy client notices of hostile connections: the own account, a hundred times a second. Each flood takes turns
 * with the same one against a bare listener, for an attacker has machines of his own and this one shares the client's, and
 * with nobody else. What the node adds is the ratio of the first two.
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
      const times = await inTurns(flooder, { name, token }, ports, timesBeside, log);
      const [flooded, elsewhere, quiet] = [p99(times.flooded), p99(times.elsewhere), p99(times.quiet)];
      const grown = (await node.usage()).rss - before.rss;
      const [ms, msElsewhere, msQuiet] = [flooded.toFixed(1), elsewhere.toFixed(1), quiet.toFixed(1)];
      log(`${name}: ${ms} ms, somebody else ${msElsewhere} ms, nobody ${msQuiet} ms, ${Math.round(grown)} MB more`);
      // Whoever can send so many requests at once is one for the proxy in front; here it counts that the node lives.
      const bound = name === requestFlood ? {} : { atMost: 2 };
      figures.push(
        { name: `p99, ${name}`, value: flooded, unit: "ms" },
        { name: `p99, ${name}, against somebody else`, value: elsewhere, unit: "ms" },
        { name: `p99, ${name}, against nobody`, value: quiet, unit: "ms" },
        { name: `p99, ${name} / against somebody else`, value: flooded / elsewhere, unit: "ratio", ...bound },
        { name: `p99, ${name} / against nobody`, value: flooded / quiet, unit: "ratio" },
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

/** A flood, the same elsewhere, and then nothing for as long, again and again until it is enough. */
async function inTurns(
  flooder: Flooder,
  order: { readonly name: FloodName; readonly token: string },
  ports: { readonly node: number; readonly somebody: number },
  timesBeside: (what: Promise<unknown>) => Promise<number[]>,
  log: (line: string) => void,
): Promise<{ flooded: number[]; elsewhere: number[]; quiet: number[] }> {
  const [flooded, elsewhere, quiet]: [number[], number[], number[]] = [[], [], []];
  const floodOf = async (port: number): Promise<number[]> => {
    const flooding = flooder.flood({ ...order, port });
    const times = await timesBeside(flooding.then(() => pause(betweenMs)));
    const { answers, longestMs, megabytes } = await flooding;
    log(`${order.name}: ${JSON.stringify(answers)}, ${longestMs} ms, ${megabytes} MB sent`);
    return times;
  };
  // The first one is not counted: V8 compiles what it has never run before.
  await floodOf(ports.node);
  for (const end = performance.now() + floodMs; performance.now() < end;) {
    const began = performance.now();
    flooded.push(...(await floodOf(ports.node)));
    const lasted = performance.now() - began;
    elsewhere.push(...(await floodOf(ports.somebody)));
    quiet.push(...(await timesBeside(pause(lasted))));
  }
  return { flooded, elsewhere, quiet };
}
