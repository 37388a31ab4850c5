import { connect, type Socket } from "node:net";

/** A unary call as it goes over the wire, and the message that must come back. */
export interface GrpcCall {
  readonly request: Buffer;
  readonly answer: Buffer;
}

/**
 * As much of HTTP/2 (RFC 9113) as a gRPC client needs, written frame by frame: a client library takes more CPU time per
 * call than the server that is measured with it. Headers as a client that keeps its channel sends them: in full with the
 * first call, by their numbers in the dynamic table (RFC 7541) with all others.
 */
export class GrpcConnection {
  readonly #socket: Socket;
  readonly #open = new Map<
    number,
    { readonly call: GrpcCall; readonly sentAt: number; received: number; right: boolean }
  >();
  readonly #firstHeaders: Buffer;
  readonly #onEnd: (milliseconds: number, right: boolean) => void;
  #out: Buffer[] = [];
  #rest: Buffer = Buffer.alloc(0);
  #nextStream = 1;

  /** @param onEnd a call has ended, with the right answer and status OK or not */
  constructor(address: string, path: string, onEnd: (milliseconds: number, right: boolean) => void) {
    const [host = "", port = ""] = address.split(":");
    this.#onEnd = onEnd;
    this.#firstHeaders = Buffer.concat([
      Buffer.from([POST, HTTP]),
      literal(PATH, path),
      literal(AUTHORITY, address),
      Buffer.concat([literal(0, "te", true), text("trailers")]),
      literal(CONTENT_TYPE, "application/grpc"),
      literal(USER_AGENT, "identity-bench/1"),
    ]);
    this.#socket = connect(Number(port), host).setNoDelay(true);
    this.#socket
      .on("data", (chunk) => this.#receive(chunk))
      .on("close", () => this.#lost())
      .on("error", () => undefined);
    this.#write(Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"));
    this.#write(frame(SETTINGS, 0, 0, Buffer.alloc(0)));
    // Once and for all: the answers of 100 million calls.
    this.#write(frame(WINDOW_UPDATE, 0, 0, Buffer.from([0x7f, 0xff, 0, 0])));
  }

  get inFlight(): number {
    return this.#open.size;
  }

  /** Goes out with the others of this turn of the event loop. */
  send(call: GrpcCall): void {
    const stream = this.#nextStream;
    this.#nextStream += 2;
    this.#write(frame(HEADERS, END_HEADERS, stream, stream === 1 ? this.#firstHeaders : knownHeaders));
    this.#write(frame(DATA, END_STREAM, stream, call.request));
    this.#open.set(stream, { call, sentAt: performance.now(), received: 0, right: true });
  }

  close(): void {
    this.#open.clear();
    this.#socket.destroy();
  }

  #write(bytes: Buffer): void {
    if (this.#out.push(bytes) > 1) return;
    queueMicrotask(() => {
      this.#socket.write(Buffer.concat(this.#out));
      this.#out = [];
    });
  }

  #receive(chunk: Buffer): void {
    const bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    let at = 0;
    while (at + frameHead <= bytes.length) {
      const end = at + frameHead + bytes.readUIntBE(at, 3);
      if (end > bytes.length) break;
      const [type, flags] = [bytes.readUInt8(at + 3), bytes.readUInt8(at + 4)];
      this.#frame(type, flags, bytes.readUInt32BE(at + 5), bytes.subarray(at + frameHead, end));
      at = end;
    }
    this.#rest = bytes.subarray(at);
  }

  #frame(type: number, flags: number, stream: number, payload: Buffer): void {
    if ((type === SETTINGS || type === PING) && !(flags & ACK)) {
      this.#write(frame(type, ACK, 0, type === PING ? Buffer.from(payload) : Buffer.alloc(0)));
    }
    const open = this.#open.get(stream);
    if (!open) return;
    if (type === DATA) {
      const { answer } = open.call;
      open.right &&= answer.compare(payload, 0, payload.length, open.received, open.received + payload.length) === 0;
      open.received += payload.length;
    }
    const ended = type === RST_STREAM || ((type === HEADERS || type === DATA) && (flags & END_STREAM) !== 0);
    if (!ended) return;
    this.#open.delete(stream);
    // An error has no message: that is the status for whoever does not unpack the trailers.
    const right = type === HEADERS && open.right && open.received === open.call.answer.length;
    this.#onEnd(performance.now() - open.sentAt, right);
  }

  #lost(): void {
    const lost = this.#open.size;
    this.#open.clear();
    for (let count = 0; count < lost; count++) this.#onEnd(Infinity, false);
  }
}

const frameHead = 9;
const [DATA, HEADERS, RST_STREAM, SETTINGS, PING, WINDOW_UPDATE] = [0, 1, 3, 4, 6, 8] as const;
const [END_STREAM, ACK, END_HEADERS] = [1, 1, 4] as const;

function frame(type: number, flags: number, stream: number, payload: Buffer): Buffer {
  const bytes = Buffer.allocUnsafe(frameHead + payload.length);
  bytes.writeUIntBE(payload.length, 0, 3);
  bytes.writeUInt8(type, 3);
  bytes.writeUInt8(flags, 4);
  bytes.writeUInt32BE(stream, 5);
  payload.copy(bytes, frameHead);
  return bytes;
}

/** Numbers of the static table: `:method: POST` and `:scheme: http` whole, of the others the name. */
const [POST, HTTP, AUTHORITY, PATH, CONTENT_TYPE, USER_AGENT] = [0x83, 0x86, 1, 4, 31, 58] as const;
/** The five literals of the first call, by their places in the dynamic table: the newest is 62. Pseudo-headers come first. */
const knownHeaders = Buffer.from([POST, HTTP, 0x80 | 66, 0x80 | 65, 0x80 | 64, 0x80 | 63, 0x80 | 62]);

const text = (value: string): Buffer => Buffer.concat([Buffer.from([value.length]), Buffer.from(value, "latin1")]);
/** A literal that both sides remember; `name` 0: its name follows as well. */
const literal = (name: number, value: string, onlyName = false): Buffer =>
  onlyName
    ? Buffer.concat([Buffer.from([0x40]), text(value)])
    : Buffer.concat([Buffer.from([0x40 | name]), text(value)]);

/** A gRPC message: not compressed, its length, and protobuf. */
export function message(protobuf: Buffer): Buffer {
  const bytes = Buffer.alloc(5 + protobuf.length);
  bytes.writeUInt32BE(protobuf.length, 1);
  protobuf.copy(bytes, 5);
  return bytes;
}
