import { once } from "node:events";
import { connect, createServer, type AddressInfo, type Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";

/** What goes wrong stays so until `restore`, also for connections that are opened later; faults add up. */
export interface TcpProxy {
  readonly port: number;
  /** Breaks all connections; those opened later work. */
  cut(): void;
  /** Breaks all connections and refuses new ones. */
  refuse(): Promise<void>;
  /** Takes connections and bytes, and never answers again. */
  blackhole(): void;
  /** Both ways, every byte comes so many milliseconds later. */
  delay(ms: number): void;
  /** Each connection and way carries so many bytes a second. */
  throttle(bytesPerSecond: number): void;
  /** Each connection is reset (RST) in the middle of what it says, when it has carried so many more bytes. */
  resetAfter(bytes: number): void;
  /**
   * The server loses one connection, and the client goes on waiting on it: what a client meets whose packets are dropped.
   * @param serverSidePort the port from which the server sees it come (`pg_stat_activity.client_port`)
   * @returns whether there was one
   */
  sever(serverSidePort: number): boolean;
  /** Works as at first. */
  restore(): Promise<void>;
  stop(): Promise<void>;
}

interface Pair {
  readonly near: Socket;
  readonly far: Socket;
  carried: number;
  severed: boolean;
}

interface Weather {
  silent: boolean;
  delayMs: number;
  bytesPerSecond: number;
  resetAfter: number;
}
const fair: Readonly<Weather> = { silent: false, delayMs: 0, bytesPerSecond: Infinity, resetAfter: Infinity };

/** Stands between the service and what it stands on, and takes it away. */
export async function startTcpProxy(target: { host: string; port: number }): Promise<TcpProxy> {
  const pairs = new Set<Pair>();
  const weather: Weather = { ...fair };
  const server = createServer((near) => {
    const pair: Pair = { near, far: connect(target).setNoDelay(true), carried: 0, severed: false };
    pairs.add(pair);
    near.setNoDelay(true).on("close", () => pairs.delete(pair));
    for (const socket of [near, pair.far]) socket.on("error", () => socket.destroy());
    carry(pair, near, pair.far, weather);
    carry(pair, pair.far, near, weather);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const cut = () => {
    for (const { near, far } of pairs) for (const socket of [near, far]) socket.destroy();
  };
  const refuse = async () => {
    const closed = new Promise((resolve) => server.close(resolve));
    cut();
    await closed;
  };
  return {
    port,
    cut,
    refuse,
    blackhole: () => void (weather.silent = true),
    delay: (ms) => void (weather.delayMs = ms),
    throttle: (bytesPerSecond) => void (weather.bytesPerSecond = bytesPerSecond),
    resetAfter: (bytes) => {
      for (const pair of pairs) pair.carried = 0;
      weather.resetAfter = bytes;
    },
    sever: (serverSidePort) => {
      const pair = [...pairs].find(({ far }) => far.localPort === serverSidePort);
      if (!pair) return false;
      pair.severed = true;
      pair.far.destroy();
      return true;
    },
    restore: async () => {
      Object.assign(weather, fair);
      // What was swallowed is missing from these connections.
      cut();
      if (server.listening) return;
      server.listen(port, "127.0.0.1");
      await once(server, "listening");
    },
    stop: refuse,
  };
}

/** One way of a connection. */
function carry(pair: Pair, from: Socket, to: Socket, weather: Weather): void {
  /** When what came so far has been passed on; bytes never overtake each other. */
  let passedOn: Promise<void> | undefined;
  let freeAt = 0;
  const isLost = () => weather.silent || pair.severed;

  from.on("data", (bytes: Buffer) => {
    if (isLost()) return;
    const left = weather.resetAfter - pair.carried;
    pair.carried += bytes.length;
    if (bytes.length > left) {
      to.write(bytes.subarray(0, Math.max(0, left)));
      for (const socket of [pair.near, pair.far]) socket.resetAndDestroy();
      return;
    }
    const arrives = performance.now() + weather.delayMs;
    freeAt = Math.max(arrives, freeAt) + (bytes.length / weather.bytesPerSecond) * 1000;
    const waitMs = freeAt - performance.now();
    if (!passedOn && waitMs < 1) {
      to.write(bytes);
      return;
    }
    const dueAt = freeAt;
    const mine = (passedOn ?? Promise.resolve()).then(async () => {
      await sleep(Math.max(0, dueAt - performance.now()));
      if (!isLost()) to.write(bytes);
      if (passedOn === mine) passedOn = undefined;
    });
    passedOn = mine;
  });
  from.on("close", () => {
    if (isLost() && from === pair.far) return;
    void (passedOn ?? Promise.resolve()).then(() => to.destroy());
  });
}
