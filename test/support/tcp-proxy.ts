import { once } from "node:events";
import { connect, createServer, type AddressInfo, type Socket } from "node:net";

export interface TcpProxy {
  readonly port: number;
  /** Breaks all connections and refuses new ones. */
  refuse(): Promise<void>;
  /** Takes connections and bytes, and never answers again. */
  blackhole(): void;
  /** Works as at first. */
  restore(): Promise<void>;
  stop(): Promise<void>;
}

/** Stands between the service and what it stands on, and takes it away. */
export async function startTcpProxy(target: { host: string; port: number }): Promise<TcpProxy> {
  const sockets = new Set<Socket>();
  let silent = false;
  const keep = (socket: Socket): Socket => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket)).on("error", () => socket.destroy());
    return socket;
  };
  const server = createServer((near) => {
    keep(near);
    const far = keep(connect(target));
    near.on("data", (bytes) => silent || far.write(bytes)).on("close", () => far.destroy());
    far.on("data", (bytes) => silent || near.write(bytes)).on("close", () => silent || near.destroy());
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const cut = () => {
    for (const socket of sockets) socket.destroy();
  };
  const refuse = async () => {
    const closed = new Promise((resolve) => server.close(resolve));
    cut();
    await closed;
  };
  return {
    port,
    refuse,
    blackhole: () => void (silent = true),
    restore: async () => {
      silent = false;
      // What was swallowed is missing from these connections.
      cut();
      if (server.listening) return;
      server.listen(port, "127.0.0.1");
      await once(server, "listening");
    },
    stop: refuse,
  };
}
