import { once } from "node:events";
import { Worker } from "node:worker_threads";
import type { Row } from "../row.ts";
import { CalledServer } from "../support/called-server.ts";
import { takeTurns } from "../support/contest.ts";
import { pinned } from "../support/cores.ts";
import { p99, type GrpcResult } from "../support/grpc-load.ts";
import type { Flood, Statuses } from "../support/login-flood.ts";
import { median, quantile, ratioFigures } from "../support/measure.ts";
import { roleCalls } from "../support/role-calls.ts";
import { createStand, startNode } from "../support/service.ts";
import { signedIn } from "../support/signed-in.ts";

const part = 0.3;
const rounds = 5;
const seconds = 6;
const windowSeconds = 0.5;
/** Many more than may wait, each coming again a while after it was refused: the queue is always full. */
const flood = { callers: 200, seconds: seconds + 2, pauseMs: 1000 } as const;

/** GetUserRole at a fixed part of its capacity, alone and while everybody signs in. */
export const getUserRoleUnderLogins: Row = pinned(async (log) => {
  const stand = await createStand();
  const node = await startNode(stand);
  const server = new CalledServer([node], [node.grpcAddress], roleCalls(await signedIn(stand, 1000)));
  const { load } = server;
  try {
    const { server: closed } = await takeTurns({ server });
    const rate = part * closed.perSecond;
    log(`${rate.toFixed(0)} calls a second are ${part * 100} % of the capacity`);
    // A virtual machine is stopped now and then for 100 ms and more: that is a matter of some windows and not of most.
    const usual = ({ times }: GrpcResult) =>
      median(windows(times, rate * windowSeconds).map((some) => quantile(some, 0.99)));
    const results: { alone: GrpcResult; flooded: GrpcResult }[] = [];
    for (let round = 0; round < rounds; round++) {
      const alone = await load.openLoop(rate, seconds);
      const ended = startFlood({ url: node.url, ...flood });
      // Until the queue is full.
      await new Promise((resolve) => setTimeout(resolve, 1000));
      const flooded = await load.openLoop(rate, seconds);
      const statuses = JSON.stringify(await ended);
      log(`p99 ${usual(alone).toFixed(1)} ms alone, ${usual(flooded).toFixed(1)} ms during sign-ins (${statuses})`);
      results.push({ alone, flooded });
    }
    const errors = results.reduce((sum, { alone, flooded }) => sum + alone.errors + flooded.errors, 0);
    const times = results.map(({ alone, flooded }) => usual(flooded) / usual(alone));
    return [
      { name: "errors", value: errors, unit: "calls", atMost: 0 },
      ...ratioFigures("p99 during sign-ins / p99 alone", times, { atMost: 3 }),
      { name: "p99 during sign-ins", value: median(results.map(({ flooded }) => usual(flooded))), unit: "ms" },
      { name: "p99 alone", value: median(results.map(({ alone }) => usual(alone))), unit: "ms" },
      {
        name: "p99 of all calls during sign-ins",
        value: median(results.map(({ flooded }) => p99(flooded))),
        unit: "ms",
      },
      { name: "p99 of all calls alone", value: median(results.map(({ alone }) => p99(alone))), unit: "ms" },
      { name: "fixed rate", value: rate, unit: "per second" },
    ];
  } finally {
    load.close();
    await node.stop();
    await stand.stop();
  }
});

/** Equal numbers of calls, which at a fixed rate are equal times. */
const windows = (times: readonly number[], size: number): number[][] =>
  Array.from({ length: Math.floor(times.length / Math.floor(size)) }, (_, nth) =>
    times.slice(nth * Math.floor(size), (nth + 1) * Math.floor(size)),
  );

async function startFlood(workerData: Flood): Promise<Statuses> {
  const worker = new Worker(new URL("../support/login-flood.ts", import.meta.url), { workerData });
  const [statuses] = (await once(worker, "message")) as [Statuses];
  return statuses;
}
