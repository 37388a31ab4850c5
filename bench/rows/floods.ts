import type { Figure, Row } from "../row.ts";
import { pinned } from "../support/cores.ts";
import { httpClient } from "../support/http.ts";
import { quantile, timesDuring } from "../support/measure.ts";
import { createStand, startNode } from "../support/service.ts";
import { signedIn } from "../support/signed-in.ts";
import { floods, startFlood, type FloodName } from "../../test/support/floods.ts";

const everyMs = 10;
const quietMs = 10_000;
const floodMs = 10_000;
const betweenMs = 1000;
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** What a healthy client notices of hostile connections: the own account, a hundred times a second, with and without them. */
export const underFloods: Row = pinned(async (log) => {
  const stand = await createStand();
  const [person] = await signedIn(stand, 1);
  const node = await startNode(stand);
  try {
    const send = httpClient(node.url);
    const token = person?.accessToken ?? "";
    const ask = () => send("GET", "/api/v1/users/current/", undefined, { authorization: `Bearer ${token}` });
    const p99During = async (over: Promise<unknown>) => quantile(await timesDuring(over, everyMs, ask), 0.99);
    await p99During(pause(quietMs));
    const quiet = await p99During(pause(quietMs));
    const figures: Figure[] = [{ name: "p99, nobody else", value: quiet, unit: "ms" }];
    for (const name of Object.keys(floods) as FloodName[]) {
      const before = await node.usage();
      const p99 = await p99During(again(name, Number(new URL(node.url).port), token, log));
      const grown = (await node.usage()).rss - before.rss;
      log(`${name}: ${p99.toFixed(1)} ms, memory ${Math.round(grown)} MB more`);
      // Whoever can send so many requests at once is one for the proxy in front; here it counts that the node lives.
      const bound = name === requestFlood ? {} : { atMost: 2 };
      figures.push({ name: `p99, ${name}`, value: p99, unit: "ms" });
      figures.push({ name: `p99, ${name} / nobody else`, value: p99 / quiet, unit: "ratio", ...bound });
    }
    return figures;
  } finally {
    await node.stop();
    await stand.stop();
  }
});

const requestFlood: FloodName = "a thousand requests in a pipeline, answers not read";

/** One every second or so: most are over in less than one. */
async function again(name: FloodName, port: number, token: string, log: (line: string) => void): Promise<void> {
  const end = performance.now() + floodMs;
  do {
    const { answers, longestMs, megabytes } = await startFlood({ name, port, token });
    log(`${name}: ${JSON.stringify(answers)}, ${longestMs} ms, ${megabytes} MB sent`);
    await pause(betweenMs);
  } while (performance.now() < end && name !== requestFlood);
}
