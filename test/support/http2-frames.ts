/** HTTP/2 by hand (RFC 9113, and literals of RFC 7541): what no well-behaved client would send. */
export const frameTypes = {
  ...{ data: 0, headers: 1, priority: 2, reset: 3, settings: 4 },
  ...{ ping: 6, goaway: 7, windowUpdate: 8, continuation: 9 },
} as const;
type FrameType = keyof typeof frameTypes;

const endStream = 1;
const endHeaders = 4;
const maxFrame = 16_384;

export const preface = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");

export function frame(type: FrameType, flags: number, stream: number, payload: Buffer = Buffer.alloc(0)): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head.writeUInt8(frameTypes[type], 3);
  head.writeUInt8(flags, 4);
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

export const settings = (): Buffer => frame("settings", 0, 0);
export const cancel = (stream: number): Buffer => frame("reset", 0, stream, Buffer.from([0, 0, 0, 8]));

/** A literal without indexing; texts of 127 bytes and more take a length of several bytes. */
export const header = (name: string, value: string): Buffer =>
  Buffer.concat([
    Buffer.from([0]),
    ...[name, value].flatMap((text) => [length(Buffer.byteLength(text)), text].map(bytes)),
  ]);

const bytes = (part: string | Buffer): Buffer => Buffer.from(part);

function length(value: number): Buffer {
  if (value < 127) return Buffer.from([value]);
  const out = [127];
  let rest = value - 127;
  for (; rest >= 128; rest = Math.floor(rest / 128)) out.push((rest % 128) + 128);
  return Buffer.from([...out, rest]);
}

const getUserRole = "/roles.RolesService/GetUserRole";

/** HEADERS, and CONTINUATION where one frame does not hold them; the call waits for its message. */
export function openCall(
  stream: number,
  more: readonly (readonly [string, string])[] = [],
  path = getUserRole,
): Buffer {
  const fields = [
    ...([
      [":method", "POST"],
      [":scheme", "http"],
      [":path", path],
      [":authority", "test"],
      ["content-type", "application/grpc"],
      ["te", "trailers"],
    ] as const),
    ...more,
  ];
  const block = Buffer.concat(fields.map(([name, value]) => header(name, value)));
  const frames: Buffer[] = [];
  for (let from = 0; from < block.length; from += maxFrame) {
    const isLast = from + maxFrame >= block.length;
    const type = from === 0 ? "headers" : "continuation";
    frames.push(frame(type, isLast ? endHeaders : 0, stream, block.subarray(from, from + maxFrame)));
  }
  return Buffer.concat(frames);
}

/** The one message of a call, and its end. */
export function message(stream: number, body: Buffer, { compressed = false, claims = body.length } = {}): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt8(compressed ? 1 : 0, 0);
  head.writeUInt32BE(claims, 1);
  return frame("data", endStream, stream, Buffer.concat([head, body]));
}

export interface Frame {
  readonly type: FrameType | "unknown";
  readonly stream: number;
  readonly payload: Buffer;
}

/** The whole frames in what was received. */
export function framesOf(received: readonly Buffer[]): Frame[] {
  const all = Buffer.concat(received);
  const names = new Map<number, FrameType>(
    Object.entries(frameTypes).map(([name, number]) => [number, name as FrameType]),
  );
  const frames: Frame[] = [];
  for (let at = 0; at + 9 <= all.length;) {
    const end = at + 9 + all.readUIntBE(at, 3);
    if (end > all.length) break;
    const type = names.get(all.readUInt8(at + 3)) ?? "unknown";
    frames.push({ type, stream: all.readUInt32BE(at + 5), payload: all.subarray(at + 9, end) });
    at = end;
  }
  return frames;
}
