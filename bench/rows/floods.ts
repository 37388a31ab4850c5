import type { Figure, Row } from "../row.ts";
import { pinned } from "../support/cores.ts";
import { httpClient } from "../support/http.ts";
import { quantile, timesDuring } from "../support/measure.ts";
import { createStand, startNode } from "../support/service.ts";
import { signedIn } from "../support/signed-in.ts";
import { floods, openFlooder, type Flooder, type FloodName } from "../../test/support/floods.ts";

const everyMs = 10;
const quietMs = 10_000;
/** With the pauses of a second, of each kind. */
const floodMs = 20_000;
const betweenMs = 1000;
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/**
 * What a healthy client notices of hostile connections: the own account, a hundred times a second. A virtual machine whose
 * cores are all busy stops them for 10 ms now and then, whatever they do, so each flood takes turns with as much CPU time
 * that is burnt where it comes from, and is compared with that.
 */
export const underFloods: Row = pinned(async (log) => {
  const stand = await createStand();
  const [person] = await signedIn(stand, 1);
  const node = await startNode(stand);
  const flooder = openFlooder({ inBackground: true });
  try {
    const send = httpClient(node.url);
    const token = person?.accessToken ?? "";
    const ask = () => send("GET", "/api/v1/users/current/", undefined, { authorization: `Bearer ${token}` });
    const timesBeside = (what: Promise<unknown>) => timesDuring(what, everyMs, ask);
    await timesBeside(pause(quietMs));
    const figures = [figure("nobody else", quantile(await timesBeside(pause(quietMs)), 0.99))];
    for (const name of Object.keys(floods) as FloodName[]) {
      const before = await node.usage();
      const turns = await inTurns(flooder, { name, port: Number(new URL(node.url).port), token }, timesBeside, log);
      const [flooded, busy] = [quantile(turns.flooded, 0.99), quantile(turns.busy, 0.99)];
      const grown = (await node.usage()).rss - before.rss;
      log(`${name}: ${flooded.toFixed(1)} ms, as busy ${busy.toFixed(1)} ms, memory ${Math.round(grown)} MB more`);
      // Whoever can send so many requests at once is one for the proxy in front; here it counts that the node lives.
      const bound = name === requestFlood ? {} : { atMost: 2 };
      figures.push(figure(name, flooded), figure(`as busy as with ${name}`, busy));
      figures.push({ name: `p99, ${name} / as busy`, value: flooded / busy, unit: "ratio", ...bound });
    }
    return figures;
  } finally {
    await flooder.close();
    await node.stop();
    await stand.stop();
  }
});

const figure = (name: string, p99: number): Figure => ({ name: `p99, ${name}`, value: p99, unit: "ms" });
const requestFlood: FloodName = "a thousand requests in a pipeline, answers not read";

/** A flood, then nothing but as much CPU time, each for as long: until it is enough. */
async function inTurns(
  flooder: Flooder,
  order: Parameters<Flooder["flood"]>[0],
  timesBeside: (what: Promise<unknown>) => Promise<number[]>,
  log: (line: string) => void,
): Promise<{ flooded: number[]; busy: number[] }> {
  const [flooded, busy]: [number[], number[]] = [[], []];
  for (const end = performance.now() + floodMs; performance.now() < end;) {
    const began = performance.now();
    const flooding = flooder.flood(order);
    flooded.push(...(await timesBeside(flooding.then(() => pause(betweenMs)))));
    const { answers, longestMs, megabytes, cpuMs } = await flooding;
    log(`${order.name}: ${JSON.stringify(answers)}, ${longestMs} ms, ${megabytes} MB sent, ${cpuMs.toFixed(0)} ms CPU`);
    const asLong = pause(performance.now() - began);
    busy.push(...(await timesBeside(Promise.all([flooder.burn(cpuMs), asLong]))));
  }
  return { flooded, busy };
}
