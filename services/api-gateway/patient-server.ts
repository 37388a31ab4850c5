import { Server, type RequestListener, type ServerOptions } from "node:http";
import type { Socket } from "node:net";
import { oneATurn } from "./one-a-turn.ts";
import { checkNode, readInPieces, type Accepted } from "./read-in-pieces.ts";

/** Where headers end: for the parser to judge how. */
const emptyLine = /\n\r?\n/;
/** What does not begin as a method does is none, and need not be waited for (an empty line before it, in the same piece: RFC 9112, 2.2). */
const method = /^(?:\r\n)?[A-Z]/;
/** Node's limit counts URL, names and values: its parser judges, however they were cut into packets, what may still keep it. */
const betweenThem = 2 * 1024;
/** So that a request that is on its way when the server closes is read before its sender counts as silent. */
const lastWordMs = 100;

interface Limits {
  /** How long somebody has from his connection to the end of his first headers. */
  readonly headersTimeout: number;
  readonly maxHeaderSize: number;
}

/**
 * An HTTP server that listens to newcomers in turns of the event loop: in each it reads one piece of one who begins and one
 * of one who goes on. A connection comes to Node's server when its first headers are there. Node reads and parses everybody
 * in one turn: of 500 connections that send bad headers at once it would answer and close all before it looks at anybody
 * else, 110 ms later (Node 24.21, measured; row `underFloods` of the benchmark).
 */
export class PatientServer extends Server {
  readonly #newcomers = new Set<Socket>();
  readonly #admit: (socket: Socket) => void;
  readonly #limits: Limits;
  /** Those who begin do not wait for those who say a byte now and then. */
  readonly #inTurn = { begin: oneATurn(), goOn: oneATurn() };

  /** What is wrong with a newcomer is a "clientError", with the codes that Node has for it. */
  constructor(options: ServerOptions & Limits, handle: RequestListener) {
    super(options, handle);
    const [admit] = this.listeners("connection");
    if (!admit) throw new Error("Node's HTTP server no longer listens to its own connections");
    checkNode();
    this.#admit = (socket) => void admit.call(this, socket);
    this.#limits = options;
    this.removeAllListeners("connection").on("connection", (accepted: Accepted) => this.#listenTo(accepted));
  }

  #listenTo(accepted: Accepted): void {
    const head: Buffer[] = [];
    let [length, last, isOver] = [0, "", false];
    const socket = readInPieces(accepted, (piece) => {
      const inTurn = head.length === 0 ? this.#inTurn.begin : this.#inTurn.goOn;
      inTurn(() => {
        if (isOver || socket.destroyed) return;
        const news = last + piece.toString("latin1");
        const isFirst = head.push(piece) === 1;
        [length, last] = [length + piece.length, news.slice(-3)];
        if (isFirst && !method.test(news)) refuse("HPE_INVALID_METHOD");
        else if (emptyLine.test(news)) admit();
        else if (length > this.#limits.maxHeaderSize + betweenThem) refuse("HPE_HEADER_OVERFLOW");
        else socket.read(0);
      });
    });
    const admit = (): void => {
      forget();
      socket.off("close", forget).off("error", hangUp).off("end", giveUp);
      this.#admit(socket);
      // Let go: the socket keeps this closure. And not now: what Node has put off for this tick would undo a refusal.
      process.nextTick((first: Buffer) => socket.emit("data", first), Buffer.concat(head.splice(0)));
    };
    const refuse = (code: string): void => {
      forget();
      head.length = 0;
      this.emit("clientError", Object.assign(new Error("refused before it was a request"), { code }), socket);
    };
    const giveUp = (): void => (head.length > 0 ? refuse("HPE_INVALID_EOF_STATE") : hangUp());
    const hangUp = (): void => void socket.destroy();
    const forget = (): void => {
      isOver = true;
      clearTimeout(patience);
      this.#newcomers.delete(socket);
    };
    const patience = setTimeout(refuse, this.#limits.headersTimeout, "ERR_HTTP_REQUEST_TIMEOUT");
    socket.once("close", forget).on("error", hangUp).once("end", giveUp);
    this.#newcomers.add(socket);
    // Asked now, and Node remembers it: in his turn he may have hung up, and would be a request from nowhere.
    if (socket.remoteAddress === undefined) hangUp();
  }

  override closeIdleConnections(): void {
    // In a turn in which everybody has been read, however long the one before was.
    setTimeout(setImmediate, lastWordMs, () => this.#hangUpOn(({ bytesRead }) => bytesRead === 0));
    super.closeIdleConnections();
  }

  override closeAllConnections(): void {
    this.#hangUpOn(() => true);
    super.closeAllConnections();
  }

  #hangUpOn(isMeant: (newcomer: Socket) => boolean): void {
    for (const newcomer of this.#newcomers) if (isMeant(newcomer)) newcomer.destroy();
  }
}
