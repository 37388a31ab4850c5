import type { Child } from "./child.ts";
import type { Contestant, Turn } from "./contest.ts";
import type { GrpcCall } from "./grpc-connection.ts";
import { GrpcLoad } from "./grpc-load.ts";
import { path } from "./role-calls.ts";

/** As the goal has it: 8 connections of 16 calls at once. */
export const connections = 8;
export const streams = 16;

/** GetUserRole in a closed loop, on connections that stay; the first goes to the first server, the second to the next. */
export class CalledServer implements Contestant {
  readonly #processes: readonly Pick<Child, "usage">[];
  readonly load: GrpcLoad;

  /** @param processes whose CPU time counts */
  constructor(processes: readonly Pick<Child, "usage">[], addresses: readonly string[], calls: readonly GrpcCall[]) {
    this.#processes = processes;
    this.load = new GrpcLoad(addresses, path, calls, connections);
  }

  async turn(seconds: number): Promise<Turn> {
    const before = await this.#cpu();
    const result = await this.load.closedLoop(streams, seconds);
    const cpu = (await this.#cpu()) - before;
    if (result.errors > 0) throw new Error(`${result.errors} of ${result.calls} calls went wrong`);
    return { cpu, seconds: result.seconds, times: result.times };
  }

  async #cpu(): Promise<number> {
    const usages = await Promise.all(this.#processes.map((process) => process.usage()));
    return usages.reduce((sum, { cpu }) => sum + cpu, 0);
  }
}
