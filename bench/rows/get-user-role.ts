import { join } from "node:path";
import type { Row } from "../row.ts";
import { CalledServer } from "../support/called-server.ts";
import { startChild } from "../support/child.ts";
import { contest, middle, ratios } from "../support/contest.ts";
import { pinned } from "../support/cores.ts";
import { ratioFigures } from "../support/measure.ts";
import { constantCalls, roleCalls } from "../support/role-calls.ts";
import { createStand, startNode } from "../support/service.ts";
import { signedIn } from "../support/signed-in.ts";

const people = 1000;

/** GetUserRole, everything warm, against a bare grpc-js server with a constant answer: first of all the CPU time per call. */
export const getUserRole: Row = pinned(async (log) => {
  const stand = await createStand();
  const customers = await signedIn(stand, people);
  const server = startChild(join(import.meta.dirname, "../baselines/grpc-server.ts"));
  const node = await startNode(stand);
  const bare = new CalledServer([server], [await server.ready], constantCalls(customers));
  const ours = new CalledServer([node], [node.grpcAddress], roleCalls(customers));
  try {
    const rounds = await contest({ bare, ours }, log);
    return [
      ...ratioFigures("CPU time per call / bare grpc-js", ratios(rounds, "cpu", "ours", "bare"), { atMost: 1.18 }),
      ...ratioFigures("p99 / bare grpc-js", ratios(rounds, "p99", "ours", "bare"), { atMost: 2 }),
      ...ratioFigures("calls per second / bare grpc-js", ratios(rounds, "perSecond", "ours", "bare"), {}),
      { name: "CPU time per call", value: middle(rounds, "cpu", "ours"), unit: "µs" },
      { name: "CPU time per call, bare grpc-js", value: middle(rounds, "cpu", "bare"), unit: "µs" },
      { name: "calls", value: middle(rounds, "perSecond", "ours"), unit: "per second" },
      { name: "calls, bare grpc-js", value: middle(rounds, "perSecond", "bare"), unit: "per second" },
      { name: "p99", value: middle(rounds, "p99", "ours"), unit: "ms" },
      { name: "p99, bare grpc-js", value: middle(rounds, "p99", "bare"), unit: "ms" },
    ];
  } finally {
    for (const { load } of [bare, ours]) load.close();
    await node.stop();
    await server.stop();
    await stand.stop();
  }
});
