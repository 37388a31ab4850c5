import type { Socket } from "node:net";
import { frame, FrameReader } from "./frames.ts";
import { notConnected } from "./not-connected.ts";

/** What a stranger may send before the first packet that is sealed as ours, and how long he has for it. */
const strangerMaxBytes = 1024;
const strangerMs = 5000;
const maxBytes = 4 * 1024 * 1024;
/** What may wait to be sent to somebody who does not read. */
const maxWaitingBytes = 16 * 1024 * 1024;
/** Every node sends a heartbeat every three seconds. */
const silenceMs = 20_000;

/** A connection to another node, in both directions, whoever began it. Nobody is believed before his first sealed packet. */
export class TcpLink {
  readonly #socket: Socket;
  /** The node at the other end, once it is known. */
  peer: string | undefined;
  #heardAt = performance.now();

  /** @param receive is told of each packet, and what it throws ends the connection */
  constructor(socket: Socket, receive: (type: string, data: Buffer) => void) {
    this.#socket = socket;
    const reader = new FrameReader();
    const limit = () => (this.peer === undefined ? strangerMaxBytes : maxBytes);
    socket.setNoDelay(true);
    socket.on("error", () => socket.destroy());
    socket.on("data", (piece) => {
      try {
        this.#heardAt = performance.now();
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

  /** Resolves when the system has taken it, so that whoever sends a stream goes no faster than it is read. */
  send(type: string, data: Buffer): Promise<void> {
    const isDeaf = this.#socket.writableLength > maxWaitingBytes;
    const isSilent = performance.now() - this.#heardAt > silenceMs;
    if (isDeaf || isSilent) this.#socket.destroy();
    return new Promise((resolve, reject) => {
      this.#socket.write(frame(type, data), (error) => (error ? reject(notConnected()) : resolve()));
    });
  }

  close(): void {
    this.#socket.destroy();
  }
}
