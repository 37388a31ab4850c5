import { join } from "node:path";
import type { Figure, Row } from "../row.ts";
import { CalledServer, connections, streams } from "../support/called-server.ts";
import { startChild } from "../support/child.ts";
import { contest, middle, ratios } from "../support/contest.ts";
import { pinned } from "../support/cores.ts";
import type { GrpcCall } from "../support/grpc-connection.ts";
import { h2load, h2loadVersion } from "../support/h2load.ts";
import { median, ratioFigures } from "../support/measure.ts";
import { constantCalls, path, roleCalls } from "../support/role-calls.ts";
import { createStand, startNode } from "../support/service.ts";
import { signedIn } from "../support/signed-in.ts";

const people = 1000;

/** GetUserRole, everything warm, against a bare grpc-js server with a constant answer: first of all the CPU time per call. */
export const getUserRole: Row = pinned(async (log) => {
  const stand = await createStand();
  const customers = await signedIn(stand, people);
  const server = startChild(join(import.meta.dirname, "../baselines/grpc-server.ts"));
  const node = await startNode(stand);
  const addressOfBare = await server.ready;
  const bare = new CalledServer([server], [addressOfBare], constantCalls(customers));
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
      ...(await byH2load({ bare: addressOfBare, ours: node.grpcAddress }, roleCalls(customers), log)),
    ];
  } finally {
    for (const { load } of [bare, ours]) load.close();
    await node.stop();
    await server.stop();
    await stand.stop();
  }
});

/** Somebody else's generator, where there is one: it sends the same request again and again, and looks at no answer. */
async function byH2load(
  addresses: { readonly bare: string; readonly ours: string },
  [call]: readonly GrpcCall[],
  log: (line: string) => void,
): Promise<Figure[]> {
  const version = h2loadVersion();
  log(version === undefined ? "generator: our own; there is no h2load" : `generators: our own, and ${version}`);
  if (version === undefined || !call) return [];
  const rates: { bare: number; ours: number }[] = [];
  for (let round = 0; round < 3; round++) {
    const rate = (address: string) => h2load(address, path, call.request, { connections, streams, seconds: 4 });
    rates.push({ bare: await rate(addresses.bare), ours: await rate(addresses.ours) });
  }
  return [
    ...ratioFigures(
      "h2load: calls per second / bare grpc-js",
      rates.map(({ bare, ours }) => ours / bare),
      {},
    ),
    { name: "h2load: calls", value: median(rates.map(({ ours }) => ours)), unit: "per second" },
  ];
}
