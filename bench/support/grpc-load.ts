import { GrpcConnection, type GrpcCall } from "./grpc-connection.ts";
import { quantile } from "./measure.ts";

export interface GrpcResult {
  readonly calls: number;
  readonly seconds: number;
  /** Calls without an answer, or with another than expected. */
  readonly errors: number;
  /** Milliseconds of each call that went well. */
  readonly times: readonly number[];
}

/**
 * Callers as the platform's services are: each keeps its connection for ever. (So does the benchmark, for another reason:
 * what V8's collector keeps of a connection's earlier calls is only seen on one that has had some.)
 */
export class GrpcLoad {
  readonly #connections: readonly GrpcConnection[];
  readonly #calls: readonly GrpcCall[];
  #next = 0;
  #times: number[] = [];
  #errors = 0;
  #onEnd: (connection: GrpcConnection) => void = () => undefined;

  /** @param calls made in turn */
  constructor(addresses: readonly string[], path: string, calls: readonly GrpcCall[], connections: number) {
    this.#calls = calls;
    this.#connections = Array.from({ length: connections }, (_, nth) => {
      const address = addresses[nth % addresses.length] ?? "";
      const connection: GrpcConnection = new GrpcConnection(address, path, (milliseconds, isRight) => {
        if (isRight) this.#times.push(milliseconds);
        // A server that is gone would otherwise be called for ever.
        else if (++this.#errors > 1000) throw new Error(`more than 1,000 calls to ${address} went wrong`);
        this.#onEnd(connection);
      });
      return connection;
    });
  }

  /** So many calls at once per connection: each answer is followed by the next call. */
  async closedLoop(streams: number, seconds: number): Promise<GrpcResult> {
    return await this.#run(seconds, () => {
      this.#onEnd = (connection) => connection.send(this.#nextCall());
      for (const connection of this.#connections) {
        for (let stream = 0; stream < streams; stream++) connection.send(this.#nextCall());
      }
      return () => undefined;
    });
  }

  /** So many calls a second, whether or not the ones before have their answer; left out where too many have none. */
  async openLoop(perSecond: number, seconds: number, maxInFlight = Infinity): Promise<GrpcResult> {
    return await this.#run(seconds, () => {
      const began = performance.now();
      let sent = 0;
      const timer = setInterval(() => {
        const due = ((performance.now() - began) / 1000) * perSecond;
        for (; sent < due; sent++) {
          if (this.#inFlight() < maxInFlight)
            this.#connections[sent % this.#connections.length]?.send(this.#nextCall());
        }
      }, 1);
      return () => clearInterval(timer);
    });
  }

  close(): void {
    for (const connection of this.#connections) connection.close();
  }

  #nextCall(): GrpcCall {
    const call = this.#calls[this.#next++ % this.#calls.length];
    if (!call) throw new Error("no calls to make");
    return call;
  }

  async #run(forSeconds: number, begin: () => () => void): Promise<GrpcResult> {
    this.#times = [];
    this.#errors = 0;
    const began = performance.now();
    const end = begin();
    await new Promise((resolve) => setTimeout(resolve, forSeconds * 1000));
    end();
    this.#onEnd = () => undefined;
    // As long as a caller would wait.
    const limit = performance.now() + 2000;
    while (this.#inFlight() > 0 && performance.now() < limit) await new Promise((resolve) => setTimeout(resolve, 1));
    const seconds = (performance.now() - began) / 1000;
    return { calls: this.#times.length, seconds, errors: this.#errors + this.#inFlight(), times: this.#times };
  }

  #inFlight(): number {
    return this.#connections.reduce((sum, connection) => sum + connection.inFlight, 0);
  }
}

export const p99 = ({ times }: GrpcResult): number => quantile(times, 0.99);
