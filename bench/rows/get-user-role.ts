import { join } from "node:path";
import type { Figure, Row } from "../row.ts";
import { startChild } from "../support/child.ts";
import { pinned } from "../support/cores.ts";
import type { GrpcCall } from "../support/grpc-connection.ts";
import { closedLoop, type GrpcResult } from "../support/grpc-load.ts";
import { median, ratioFigures } from "../support/measure.ts";
import type { Usage } from "../support/probe.ts";
import { constantCalls, path, roleCalls } from "../support/role-calls.ts";
import { createStand, startNode } from "../support/service.ts";
import { signedIn } from "../support/signed-in.ts";

const rounds = 3;
const seconds = 6;
const warmUpSeconds = 4;
export const shape = { connections: 8, streams: 16 } as const;
const people = 1000;

/** GetUserRole, everything warm, against a bare grpc-js server with a constant answer: first of all the CPU time per call. */
export const getUserRole: Row = pinned(async (log) => {
  const stand = await createStand();
  const customers = await signedIn(stand, people);
  const bareServer = startChild(join(import.meta.dirname, "../baselines/grpc-server.ts"));
  const node = await startNode(stand);
  try {
    const bare = { usage: bareServer.usage, address: await bareServer.ready, calls: constantCalls(customers) };
    const ours = { usage: node.usage, address: node.grpcAddress, calls: roleCalls(customers) };
    for (const each of [bare, ours]) await measureCalls(each, warmUpSeconds);
    const pairs: { bare: Measured; ours: Measured }[] = [];
    for (let round = 0; round < rounds; round++) {
      const pair = { bare: await measureCalls(bare, seconds), ours: await measureCalls(ours, seconds) };
      pairs.push(pair);
      log(`bare ${said(pair.bare)}; ours ${said(pair.ours)}`);
    }
    return figures(pairs);
  } finally {
    await node.stop();
    await bareServer.stop();
    await stand.stop();
  }
});

export interface Server {
  usage(): Promise<Usage>;
  readonly address: string;
  readonly calls: readonly GrpcCall[];
}
export interface Measured extends GrpcResult {
  /** Microseconds of the server's CPU time per call. */
  readonly cpu: number;
}

/** @throws Error unless every call got its answer */
export async function measureCalls(server: Server, forSeconds: number): Promise<Measured> {
  const before = await server.usage();
  const result = await closedLoop({ ...server, path, ...shape, seconds: forSeconds });
  const after = await server.usage();
  if (result.errors > 0) throw new Error(`${result.errors} of ${result.calls} calls went wrong`);
  return { ...result, cpu: ((after.cpu - before.cpu) * 1000) / result.calls };
}

const said = ({ cpu, perSecond, p99 }: Measured): string =>
  `${cpu.toFixed(1)} µs CPU a call, ${perSecond.toFixed(0)} calls/s, p99 ${p99.toFixed(1)} ms`;

function figures(pairs: readonly { bare: Measured; ours: Measured }[]): Figure[] {
  const of = (ratio: (ours: Measured, bare: Measured) => number) => pairs.map(({ ours, bare }) => ratio(ours, bare));
  const own = (value: (ours: Measured) => number) => median(pairs.map(({ ours }) => value(ours)));
  return [
    ...ratioFigures("CPU time per call / bare grpc-js", of((ours, bare) => ours.cpu / bare.cpu), { atMost: 1.18 }),
    ...ratioFigures("p99 / bare grpc-js", of((ours, bare) => ours.p99 / bare.p99), { atMost: 2 }),
    ...ratioFigures("calls per second / bare grpc-js", of((ours, bare) => ours.perSecond / bare.perSecond), {}),
    { name: "CPU time per call", value: own(({ cpu }) => cpu), unit: "µs" },
    { name: "CPU time per call, bare grpc-js", value: median(pairs.map(({ bare }) => bare.cpu)), unit: "µs" },
    { name: "calls", value: own(({ perSecond }) => perSecond), unit: "per second" },
    { name: "calls, bare grpc-js", value: median(pairs.map(({ bare }) => bare.perSecond)), unit: "per second" },
    { name: "p99", value: own(({ p99 }) => p99), unit: "ms" },
  ];
}
