import { connect, type Socket } from "node:net";

/**
 * One request after the other on a connection that stays, written beforehand: the load must not need the machine more than
 * what is measured. Understands answers with `Content-Length` and chunked ones.
 */
export class HttpConnection {
  readonly #url: URL;
  #socket: Socket;
  readonly #onEnd: (milliseconds: number, isRight: boolean) => void;
  #sentAt = 0;
  #busy = false;
  #received = "";

  /** @param onEnd an answer has come, with status 200 or not */
  constructor(url: URL, onEnd: (milliseconds: number, isRight: boolean) => void) {
    this.#url = url;
    this.#onEnd = onEnd;
    this.#socket = this.#connect();
  }

  get isBusy(): boolean {
    return this.#busy;
  }

  send(request: Buffer): void {
    this.#busy = true;
    // Between two turns a server may have closed what was idle for too long.
    if (this.#socket.destroyed || this.#socket.readableEnded) this.#socket = this.#connect();
    this.#sentAt = performance.now();
    this.#socket.write(request);
  }

  close(): void {
    this.#busy = false;
    this.#socket.destroy();
  }

  #connect(): Socket {
    const socket = connect(Number(this.#url.port), this.#url.hostname).setNoDelay(true).setEncoding("latin1");
    socket.on("error", () => undefined).on("data", (text) => this.#receive(String(text)));
    return socket.on("close", () => {
      if (this.#busy && socket === this.#socket) this.#end(false);
    });
  }

  #receive(text: string): void {
    this.#received += text;
    const head = this.#received.indexOf("\r\n\r\n");
    if (head < 0) return;
    const length = /\r\ncontent-length: (\d+)\r\n/i.exec(this.#received.slice(0, head + 2))?.[1];
    const isWhole =
      length === undefined
        ? this.#received.endsWith("\r\n0\r\n\r\n")
        : this.#received.length >= head + 4 + Number(length);
    if (!isWhole) return;
    const isRight = this.#received.startsWith("HTTP/1.1 200 ");
    this.#received = "";
    this.#end(isRight);
  }

  #end(isRight: boolean): void {
    this.#busy = false;
    this.#onEnd(performance.now() - this.#sentAt, isRight);
  }
}
