import { Server, type RequestListener, type ServerOptions } from "node:http";
import type { Socket } from "node:net";
import { oneATurn } from "./one-a-turn.ts";

/**
 * An HTTP server that takes newcomers one in a turn of the event loop, each with its first bytes. Node reads whoever has
 * something to say in one turn: of 500 connections that send bad headers at once it would parse, answer and close all
 * before it looks at anybody else, 110 ms later (Node 24.21, measured; row `underFloods` of the benchmark).
 */
export class PatientServer extends Server {
  readonly #silent = new Set<Socket>();
  readonly #attach: (socket: Socket) => void;
  readonly #patienceMs: number;
  readonly #inTurn = oneATurn();

  /** @param options `headersTimeout` is also how long somebody may say nothing at all */
  constructor(options: ServerOptions & { readonly headersTimeout: number }, handle: RequestListener) {
    super(options, handle);
    const [attach] = this.listeners("connection");
    if (!attach) throw new Error("Node's HTTP server no longer listens to its own connections");
    this.#attach = (socket) => void attach.call(this, socket);
    this.#patienceMs = options.headersTimeout;
    this.removeAllListeners("connection").on("connection", (socket: Socket) => this.#listenTo(socket));
  }

  #listenTo(socket: Socket): void {
    const hangUp = (): void => void socket.destroy();
    const giveUp = (): void => void this.emit("clientError", requestTimeout(), socket);
    const forget = (): void => void this.#silent.delete(socket);
    this.#silent.add(socket);
    socket.setTimeout(this.#patienceMs, giveUp).on("error", hangUp).once("close", forget);
    // Not "data": Node would read on while it waits.
    socket.once("readable", () => {
      if (socket.readableLength === 0) {
        // It was closed without a word.
        hangUp();
        return;
      }
      socket.setTimeout(0, giveUp);
      forget();
      this.#inTurn(() => {
        if (socket.destroyed) return;
        socket.off("error", hangUp).off("close", forget);
        this.#attach(socket);
        socket.resume();
      });
    });
  }

  override closeIdleConnections(): void {
    for (const socket of this.#silent) socket.destroy();
    super.closeIdleConnections();
  }
}

const requestTimeout = (): Error => Object.assign(new Error("nothing came"), { code: "ERR_HTTP_REQUEST_TIMEOUT" });
