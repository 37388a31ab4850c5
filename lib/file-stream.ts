import { addAbortSignal, Readable } from "node:stream";
import { ServiceError } from "./errors.ts";

/**
 * A file beside an action's parameters, in messages small enough for every transporter (NATS takes 1 MB). As base64: the
 * broker would write each byte of a Buffer as a decimal number, which makes 5 MB of 0xFF 21 MB.
 */
export function fileStream(file: readonly Buffer[]): Readable {
  return Readable.from(messagesOf(file));
}

const messageBytes = 96 * 1024;
/** Less is gathered: what came in chunks of 200 bytes would be 26,000 messages. Large pieces are not copied for it. */
const worthAMessage = 16 * 1024;

function* messagesOf(file: readonly Buffer[]): Generator<string> {
  let gathered: Buffer[] = [];
  let size = 0;
  for (const part of file) {
    gathered.push(part);
    size += part.length;
    if (size < worthAMessage) continue;
    yield* inMessages(gathered);
    [gathered, size] = [[], 0];
  }
  yield* inMessages(gathered);
}

function* inMessages(gathered: readonly Buffer[]): Generator<string> {
  const whole = gathered.length === 1 && gathered[0] ? gathered[0] : Buffer.concat(gathered);
  for (let at = 0; at < whole.length; at += messageBytes) yield whole.toString("base64", at, at + messageBytes);
}

/** The sender has the whole file before it begins. */
const timeLimitMs = 5000;

/**
 * What {@link fileStream} sends; of a caller who sends nothing, an empty file.
 * @throws ServiceError `body_too_large`, or `unavailable` when it does not come: NATS delivers at most once, and what is
 * lost never arrives
 */
export async function readFileStream(stream: Readable | undefined, maxBytes: number): Promise<Buffer> {
  if (!stream) return Buffer.alloc(0);
  const parts: Buffer[] = [];
  let size = 0;
  try {
    for await (const message of addAbortSignal(AbortSignal.timeout(timeLimitMs), stream)) {
      const part = Buffer.from(String(message), "base64");
      size += part.length;
      if (size > maxBytes) throw new ServiceError("body_too_large");
      parts.push(part);
    }
  } catch (error) {
    throw error instanceof ServiceError ? error : new ServiceError("unavailable", {}, { cause: error });
  }
  return Buffer.concat(parts);
}
