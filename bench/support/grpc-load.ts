import { GrpcConnection, type GrpcCall } from "./grpc-connection.ts";
import { quantile } from "./measure.ts";

export interface GrpcLoad {
  readonly address: string;
  readonly path: string;
  /** Made in turn. */
  readonly calls: readonly GrpcCall[];
  readonly connections: number;
  readonly seconds: number;
}
export interface GrpcResult {
  readonly calls: number;
  readonly perSecond: number;
  /** Calls without an answer, or with another than expected. */
  readonly errors: number;
  /** Milliseconds. */
  readonly p50: number;
  readonly p99: number;
}

/** So many calls at once per connection: each answer is followed by the next call. */
export async function closedLoop(load: GrpcLoad & { readonly streams: number }): Promise<GrpcResult> {
  return await run(load, (connections, nextCall) => {
    for (const connection of connections) {
      for (let stream = 0; stream < load.streams; stream++) connection.send(nextCall());
    }
    return { onEnd: (connection) => connection.send(nextCall()), stop: () => undefined };
  });
}

/** So many calls a second, whether or not the ones before have their answer. */
export async function openLoop(load: GrpcLoad & { readonly perSecond: number }): Promise<GrpcResult> {
  return await run(load, (connections, nextCall) => {
    const began = performance.now();
    let sent = 0;
    const timer = setInterval(() => {
      const due = ((performance.now() - began) / 1000) * load.perSecond;
      for (; sent < due; sent++) connections[sent % connections.length]?.send(nextCall());
    }, 1);
    return { onEnd: () => undefined, stop: () => clearInterval(timer) };
  });
}

type Begin = (
  connections: readonly GrpcConnection[],
  nextCall: () => GrpcCall,
) => { readonly onEnd: (connection: GrpcConnection) => void; readonly stop: () => void };

async function run(load: GrpcLoad, begin: Begin): Promise<GrpcResult> {
  const { address, path, calls, seconds } = load;
  const times: number[] = [];
  let errors = 0;
  let running = true;
  let onEnd = (_: GrpcConnection): void => undefined;
  const connections: GrpcConnection[] = [];
  for (let count = 0; count < load.connections; count++) {
    const connection: GrpcConnection = new GrpcConnection(address, path, (milliseconds, right) => {
      if (!running) return;
      if (right) times.push(milliseconds);
      // A server that is gone would otherwise be called for ever.
      else if (++errors > 1000) throw new Error(`more than 1,000 of ${times.length + errors} calls went wrong`);
      onEnd(connection);
    });
    connections.push(connection);
  }
  let next = 0;
  const nextCall = (): GrpcCall => calls[next++ % calls.length] as GrpcCall;
  const began = performance.now();
  const loop = begin(connections, nextCall);
  onEnd = loop.onEnd;
  await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
  loop.stop();
  const took = (performance.now() - began) / 1000;
  // What is on its way counts in an open loop, for as long as a caller would wait.
  const end = performance.now() + 1000;
  onEnd = () => undefined;
  while (connections.some(({ inFlight }) => inFlight > 0) && performance.now() < end) {
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  running = false;
  errors += connections.reduce((sum, { inFlight }) => sum + inFlight, 0);
  for (const connection of connections) connection.close();
  return {
    calls: times.length,
    perSecond: times.length / took,
    errors,
    p50: quantile(times, 0.5),
    p99: quantile(times, 0.99),
  };
}
