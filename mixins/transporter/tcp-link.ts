import type { Socket } from "node:net";
import { frame, FrameReader } from "./frames.ts";
import { newChallenge } from "./handshake.ts";
import { notConnected } from "./not-connected.ts";

/** What a stranger may send before he has shown who he is, and how long he has for it. */
const strangerMaxBytes = 1024;
const strangerMs = 5000;
const maxBytes = 4 * 1024 * 1024;
/** What may wait to be sent to somebody who does not read. */
const maxWaitingBytes = 16 * 1024 * 1024;
/** Every node sends a heartbeat every three seconds. */
const silenceMs = 20_000;

/** A connection to another node, in both directions. Nobody is believed before he has answered its challenge. */
export class TcpLink {
  readonly #socket: Socket;
  /** Who began it. */
  readonly side: "dialed" | "accepted";
  readonly challenge = newChallenge();
  /** Whether the other's challenge has been answered. */
  isAnswered = false;
  /** The node at the other end, once it has shown that it is. */
  peer: string | undefined;
  /** When something came that was sealed, last: any other byte anybody can send. */
  heardAt = 0;
  #waitingSince: number | undefined;

  /** @param receive is told of each packet, and what it throws ends the connection */
  constructor(socket: Socket, side: "dialed" | "accepted", receive: (type: string, data: Buffer) => void) {
    this.#socket = socket;
    this.side = side;
    const reader = new FrameReader();
    const limit = () => (this.peer === undefined ? strangerMaxBytes : maxBytes);
    socket.setNoDelay(true);
    socket.on("error", () => socket.destroy());
    socket.on("data", (piece) => {
      try {
        reader.push(Buffer.from(piece), limit, (type, data) => socket.destroyed || receive(type, data));
      } catch {
        socket.destroy();
      }
    });
    const tooLate = setTimeout(() => this.peer ?? socket.destroy(), strangerMs).unref();
    socket.on("close", () => clearTimeout(tooLate));
  }

  get isOpen(): boolean {
    return !this.#socket.destroyed;
  }

  /** To be told of each packet that was opened. */
  heard(): void {
    this.heardAt = performance.now();
    this.#waitingSince = undefined;
  }

  /** Resolves when the system has taken it, so that whoever sends a stream goes no faster than it is read. */
  send(type: string, data: Buffer): Promise<void> {
    const isDeaf = this.#socket.writableLength > maxWaitingBytes;
    this.#waitingSince ??= performance.now();
    const isSilent = performance.now() - this.#waitingSince > silenceMs;
    if (isDeaf || isSilent) this.#socket.destroy();
    return new Promise((resolve, reject) => {
      this.#socket.write(frame(type, data), (error) => (error ? reject(notConnected()) : resolve()));
    });
  }

  close(): void {
    this.#socket.destroy();
  }
}
