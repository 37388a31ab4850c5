import { createServer, type Server, type Socket } from "node:net";
import { once } from "node:events";
import { Transporters } from "moleculer";
import type { Log } from "../../lib/log.ts";
import type { TcpConfig } from "../../lib/transporter-config.ts";
import { readChallenge, readProof, writeChallenge, writeProof, type Proof } from "./handshake.ts";
import { notConnected } from "./not-connected.ts";
import { allNodes } from "./packet-seal.ts";
import { RedialedPeer } from "./redialed-peer.ts";
import type { Sending } from "./seal-packets.ts";
import { TcpLink } from "./tcp-link.ts";

/** Connections of whom nothing is known yet; of more, the one that has waited longest goes. */
const maxStrangers = 256;
/** Connections with one node: each end may dial, and dial once more before the other has missed the one before. */
const maxLinks = 4;
/** Each connection shows so often that it lives: of two, neither end uses the other one when the first passes nothing on. */
const aliveMs = 1000;
/** One of them may come late. */
const silentMs = 2.5 * aliveMs;
const lastHeardFirst = (links: readonly TcpLink[]) => links.toSorted((one, other) => other.heardAt - one.heardAt);

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
  #alive: NodeJS.Timeout | undefined;

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
      (address) => new RedialedPeer(address, this.#log, (socket) => this.#open(socket, "dialed")),
    );
    this.#alive = setInterval(() => this.#sayAlive(), aliveMs).unref();
    await this.onConnected();
  }

  override disconnect(): Promise<void> {
    this.connected = false;
    clearInterval(this.#alive);
    for (const peer of this.#peers) peer.stop();
    // After what was just said, such as that this node goes.
    for (const [socket] of this.#links) socket.destroySoon();
    this.#server?.close();
    return Promise.resolve();
  }

  #accept(socket: Socket): void {
    const strangers = [...this.#links].filter(([, { peer, side }]) => peer === undefined && side === "accepted");
    if (strangers.length >= maxStrangers) strangers[0]?.[0].destroy();
    const link = this.#open(socket, "accepted");
    link.send("CHALLENGE", writeChallenge(link.challenge)).catch(() => link.close());
  }

  #open(socket: Socket, side: TcpLink["side"]): TcpLink {
    const link = new TcpLink(socket, side, (type, data) => {
      if (type === "CHALLENGE") this.#answer(link, data);
      else void this.receive(type, data, socket);
    });
    this.#links.set(socket, link);
    socket.on("close", () => this.#closed(socket, link));
    return link;
  }

  #closed(socket: Socket, { peer }: TcpLink): void {
    this.#links.delete(socket);
    // At once, and not when its heartbeats have been missed: whoever waits for an answer need not wait for it.
    if (!this.connected || peer === undefined || this.#linkTo(peer)) return;
    this.transit.discoverer.remoteNodeDisconnected(peer, true);
  }

  #sayAlive(): void {
    for (const link of this.#links.values()) {
      if (link.peer === undefined) continue;
      this.send("", Buffer.alloc(0), { packet: { type: "ALIVE", target: link.peer }, link }).catch(() => link.close());
    }
  }

  #linksTo(nodeId: string): TcpLink[] {
    return [...this.#links.values()].filter(({ peer, isOpen }) => peer === nodeId && isOpen);
  }

  /** Always the same one, so that nothing overtakes, unless it has been silent: something may hold it open and pass nothing on. */
  #linkTo(nodeId: string): TcpLink | undefined {
    const links = this.#linksTo(nodeId);
    return links.find(({ heardAt }) => performance.now() - heardAt < silentMs) ?? lastHeardFirst(links)[0];
  }

  /** Whoever it comes from: it is answered once, and by the end that dialed. */
  #answer(link: TcpLink, challenge: Buffer): void {
    if (link.side !== "dialed" || link.isAnswered) throw new Error("nothing to answer");
    link.isAnswered = true;
    this.#introduce(link, "HELLO", allNodes, readChallenge(challenge));
  }

  #introduce(link: TcpLink, type: "HELLO" | "WELCOME", target: string, answer: string): void {
    const text = writeProof({ answer, challenge: link.challenge, sender: this.nodeID });
    this.send("", text, { packet: { type, target }, link }).catch(() => link.close());
  }

  /** What arrives here was sealed by one of us, but perhaps not for this connection. */
  override receive(type: string, data: Buffer, socket: Socket): Promise<void> | void {
    const link = this.#links.get(socket);
    if (!link?.isOpen) return;
    const { peer } = link;
    link.heard();
    if (peer !== undefined && type === "ALIVE") return;
    if (peer !== undefined && type !== "HELLO" && type !== "WELCOME") return this.incomingMessage(type, data);
    const proof = readProof(data);
    const isExpected = type === (link.side === "dialed" ? "WELCOME" : "HELLO") && proof.answer === link.challenge;
    if (peer === undefined && isExpected && proof.sender !== this.nodeID) this.#meet(link, proof);
    else this.#refuse(link, proof);
  }

  #meet(link: TcpLink, { sender, challenge }: Proof): void {
    if (link.side === "accepted") this.#introduce(link, "WELCOME", sender, challenge);
    link.peer = sender;
    for (const silent of lastHeardFirst(this.#linksTo(sender)).slice(maxLinks)) silent.close();
    // Both ends ask who is there.
    void this.transit.discoverNode(sender);
  }

  /** A node may meet itself: it has dialed its own address, or somebody who hands on to it what he is told. */
  #refuse(link: TcpLink, { sender, challenge }: Proof): void {
    const isOwn = link.side === "accepted" && sender === this.nodeID;
    if (isOwn) this.#peers.find((peer) => peer.link?.challenge === challenge)?.rest();
    link.close();
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
