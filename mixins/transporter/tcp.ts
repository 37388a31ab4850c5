import { createServer, type Server, type Socket } from "node:net";
import { once } from "node:events";
import { Transporters } from "moleculer";
import type { Log } from "../../lib/log.ts";
import type { TcpConfig } from "../../lib/transporter-config.ts";
import { notConnected } from "./not-connected.ts";
import { RedialedPeer } from "./redialed-peer.ts";
import { allNodes } from "./packet-seal.ts";
import type { Sending } from "./seal-packets.ts";
import { TcpLink } from "./tcp-link.ts";

/** Connections of whom nothing is known yet; of more, the one that has waited longest goes. */
const maxStrangers = 256;

/**
 * Nodes that connect to each other without a broker in between (docs/adr/0010: why not Moleculer's own). Each listens, and
 * each keeps a connection to every address of `TRANSPORTER`; both ends of one use it in both directions. For the rest it is a
 * transporter as NATS is: what is for one node goes to it, what is for all goes to all.
 */
export class TcpTransporter extends Transporters.Base {
  readonly #config: TcpConfig;
  readonly #log: Log;
  readonly #links = new Map<Socket, TcpLink>();
  #server: Server | undefined;
  #peers: RedialedPeer[] = [];

  constructor(config: TcpConfig, log: Log) {
    super({});
    this.#config = config;
    this.#log = log;
  }

  override async connect(): Promise<void> {
    const server = createServer((socket) => this.#accept(socket));
    server.listen({ host: this.#config.host, port: this.#config.port, exclusive: true });
    await once(server, "listening");
    server.on("error", ({ message }) => this.#log.error({ reason: message }, "nodes cannot connect"));
    this.#server = server;
    this.#peers = this.#config.peers.map(
      (address) => new RedialedPeer(address, this.#log, (socket) => this.#open(socket)),
    );
    await this.onConnected();
  }

  override disconnect(): Promise<void> {
    this.connected = false;
    for (const peer of this.#peers) peer.stop();
    // After what was just said, such as that this node goes.
    for (const [socket] of this.#links) socket.destroySoon();
    this.#server?.close();
    return Promise.resolve();
  }

  #accept(socket: Socket): void {
    const dialed = new Set(this.#peers.map((peer) => peer.socket));
    const strangers = [...this.#links].filter(([other, { peer }]) => peer === undefined && !dialed.has(other));
    if (strangers.length >= maxStrangers) strangers[0]?.[0].destroy();
    this.#open(socket);
  }

  /** Both ends begin by asking who is there, which also tells the other one who asks. */
  #open(socket: Socket): TcpLink {
    const link = new TcpLink(socket, (type, data) => void this.receive(type, data, socket));
    this.#links.set(socket, link);
    socket.on("close", () => this.#closed(socket, link));
    const question = JSON.stringify({ ver: this.broker.PROTOCOL_VERSION, sender: this.nodeID });
    const packet = { type: "DISCOVER", target: allNodes };
    this.send("", Buffer.from(question), { packet, link }).catch(() => link.close());
    return link;
  }

  #closed(socket: Socket, { peer }: TcpLink): void {
    this.#links.delete(socket);
    // At once, and not when its heartbeats have been missed: whoever waits for an answer need not wait for it.
    if (!this.connected || peer === undefined || this.#linkTo(peer)) return;
    this.transit.discoverer.remoteNodeDisconnected(peer, true);
  }

  #linkTo(nodeId: string): TcpLink | undefined {
    return this.#links.values().find(({ peer, isOpen }) => peer === nodeId && isOpen);
  }

  /** What arrives here was sealed by one of us, so its sender is who it says. */
  override receive(type: string, data: Buffer, socket: Socket): Promise<void> | void {
    const link = this.#links.get(socket);
    if (link && link.peer === undefined) {
      const payload: unknown = this.deserialize(type, data).payload;
      link.peer = typeof payload === "object" && payload && "sender" in payload ? String(payload.sender) : "";
      if (link.peer === this.nodeID) this.#hangUp(socket);
    }
    if (socket.destroyed) return;
    return this.incomingMessage(type, data);
  }

  /** The address of this very node. */
  #hangUp(socket: Socket): void {
    this.#peers.find((peer) => peer.socket === socket)?.stop();
    socket.destroy();
  }

  override send(_: string, data: Buffer, { packet, link }: Sending & { readonly link?: TcpLink }): Promise<void> {
    const { type } = packet;
    const target = packet.target ?? allNodes;
    if (link) return link.send(type, data);
    if (target === allNodes) return this.#sendToAll(type, data);
    return this.#linkTo(target)?.send(type, data) ?? Promise.reject(notConnected());
  }

  /** Over one connection each: the second copy would be taken for one that somebody sends again. */
  async #sendToAll(type: string, data: Buffer): Promise<void> {
    const peers = new Set([...this.#links.values()].flatMap(({ peer }) => peer ?? []));
    // Whoever does not hear it has gone, and asks when he is back.
    await Promise.allSettled([...peers].flatMap((peer) => this.#linkTo(peer)?.send(type, data) ?? []));
  }

  /** Every node is told what is for all. */
  override async subscribe(): Promise<void> {}
  override async subscribeBalancedRequest(): Promise<void> {}
  override async subscribeBalancedEvent(): Promise<void> {}
}
