import { Skipped, type Row } from "../row.ts";
import { CalledServer } from "../support/called-server.ts";
import { contest, middle, ratios } from "../support/contest.ts";
import { pinned } from "../support/cores.ts";
import { ratioFigures } from "../support/measure.ts";
import { roleCalls } from "../support/role-calls.ts";
import { createStand, startNode, type MeasuredNode } from "../support/service.ts";
import { signedIn } from "../support/signed-in.ts";
import { hasNats, startNats } from "../../test/support/nats-server.ts";

/** The same calls to one gRPC gateway and, half and half, to two: what a further node costs in CPU time per call. */
export const twoNodes: Row = pinned(async (log) => {
  if (!hasNats()) throw new Skipped("there is no nats-server (apt-get install nats-server)");
  const stand = await createStand();
  const calls = roleCalls(await signedIn(stand, 1000));
  const nats = await startNats();
  const nodes: MeasuredNode[] = [];
  const start = async (SERVICES: string): Promise<MeasuredNode> => {
    const node = await startNode(stand, { SERVICES, TRANSPORTER: nats.url });
    nodes.push(node);
    return node;
  };
  const loads: CalledServer[] = [];
  const called = (...gateways: MeasuredNode[]): CalledServer => {
    const server = new CalledServer(
      [auth, ...gateways],
      gateways.map(({ grpcAddress }) => grpcAddress),
      calls,
    );
    loads.push(server);
    return server;
  };
  const auth = await start("auth");
  try {
    const [first, second, third] = [
      await start("grpc-gateway"),
      await start("grpc-gateway"),
      await start("grpc-gateway"),
    ];
    const rounds = await contest({ one: called(first), two: called(second, third) }, log);
    return [
      ...ratioFigures("CPU time per call, two nodes / one node", ratios(rounds, "cpu", "two", "one"), { atMost: 1.1 }),
      { name: "CPU time per call, two nodes", value: middle(rounds, "cpu", "two"), unit: "µs" },
      { name: "CPU time per call, one node", value: middle(rounds, "cpu", "one"), unit: "µs" },
    ];
  } finally {
    for (const { load } of loads) load.close();
    for (const node of nodes.reverse()) await node.stop();
    await nats.stop();
    await stand.stop();
  }
});
