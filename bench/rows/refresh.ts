import { Agent } from "node:http";
import type { Row } from "../row.ts";
import { contest, middle, type Contestant } from "../support/contest.ts";
import { cores, pinned } from "../support/cores.ts";
import { exchange } from "../support/exchange.ts";
import { createStand, startNode, type MeasuredNode } from "../support/service.ts";
import { signedIn, type SignedIn } from "../support/signed-in.ts";

const callers = 32;
const goal = 500;

/** Refresh tokens exchanged by people of whom each has the newest; PostgreSQL commits every exchange to disk. */
export const refresh: Row = pinned(async (log) => {
  const stand = await createStand();
  const people = await signedIn(stand, callers);
  const node = await startNode(stand);
  try {
    const rounds = await contest({ ours: exchanges(node, people) }, log);
    const [perSecond, cpu] = [middle(rounds, "perSecond", "ours"), middle(rounds, "cpu", "ours")];
    const onOneCore = cores ? { atLeast: goal } : {};
    return [
      { name: "exchanges, the service on one core", value: perSecond, unit: "per second", ...onOneCore },
      { name: "exchanges by the service's CPU time", value: 1e6 / cpu, unit: "per core and second", atLeast: goal },
      { name: "p99", value: middle(rounds, "p99", "ours"), unit: "ms" },
    ];
  } finally {
    await node.stop();
    await stand.stop();
  }
});

function exchanges(node: MeasuredNode, people: readonly SignedIn[]): Contestant {
  const agent = new Agent({ keepAlive: true, maxSockets: callers });
  const tokens = people.map(({ refreshToken }) => refreshToken);
  return {
    turn: async (seconds) => {
      const times: number[] = [];
      const before = await node.usage();
      const began = performance.now();
      const exchangeAll = async (_: string, owner: number): Promise<void> => {
        while (performance.now() - began < seconds * 1000) {
          const sent = performance.now();
          tokens[owner] = await exchange(node.url, agent, tokens[owner] ?? "");
          times.push(performance.now() - sent);
        }
      };
      await Promise.all(tokens.map(exchangeAll));
      const took = (performance.now() - began) / 1000;
      return { cpu: (await node.usage()).cpu - before.cpu, seconds: took, times };
    },
  };
}
