/** On a TCP connection a packet is its length (4 bytes, big endian, without this header), its type (1 byte) and its bytes. */
const headerBytes = 5;
const ofMoleculer = ["EVENT", "REQ", "RES", "DISCOVER", "INFO", "DISCONNECT", "HEARTBEAT", "PING", "PONG"];
const types = [...ofMoleculer, "CHALLENGE", "HELLO", "WELCOME", "ALIVE"];

export function frame(type: string, data: Buffer): Buffer {
  const header = Buffer.alloc(headerBytes);
  header.writeUInt32BE(data.length);
  header[headerBytes - 1] = types.indexOf(type);
  return Buffer.concat([header, data]);
}

/** Puts together again what the network has cut into pieces; bytes are copied twice at the most, however small the pieces are. */
export class FrameReader {
  #pieces: Buffer[] = [];
  #bytes = 0;
  #needed = headerBytes;

  /**
   * @param maxBytes asked before each packet: the longest that may come
   * @throws when a packet is too long or of no known type
   */
  push(piece: Buffer, maxBytes: () => number, take: (type: string, data: Buffer) => void): void {
    this.#pieces.push(piece);
    this.#bytes += piece.length;
    while (this.#bytes >= this.#needed) {
      const [first = Buffer.alloc(0), ...others] = this.#pieces;
      const bytes = others.length === 0 ? first : Buffer.concat(this.#pieces);
      this.#pieces = [bytes];
      const length = bytes.readUInt32BE();
      const type = types[bytes[headerBytes - 1] ?? types.length];
      if (length > maxBytes() || type === undefined) throw new Error("no packet of ours");
      this.#needed = headerBytes + length;
      if (this.#bytes < this.#needed) return;
      this.#pieces = [bytes.subarray(this.#needed)];
      this.#bytes -= this.#needed;
      take(type, bytes.subarray(headerBytes, this.#needed));
      this.#needed = headerBytes;
    }
  }
}
