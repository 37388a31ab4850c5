import multipart from "@fastify/multipart";
import type { FastifyInstance, FastifyRequest } from "fastify";
import type { IncomingMessage } from "node:http";
import { finished, Transform, Writable, type Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { invalidFields, ServiceError } from "../../lib/errors.ts";
import { fileStream } from "../../lib/file-stream.ts";
import { maxPictureBytes } from "../users/users.contract.ts";

/** The part of the form that counts. */
export const fileField = "image";
/** What a page may send along without being told off; nobody reads it. */
const limits = { fileSize: maxPictureBytes, files: 1, fields: 32, fieldSize: 8 * 1024, fieldNameSize: 100, parts: 33 };
/** No request has a larger body: of one that tells its length none is read, of one in chunks no more than this. */
export const maxUploadBytes = limits.fileSize + limits.fields * (limits.fieldSize + 1024);
/** Each is held in memory until the action has it. */
const maxAtOnce = 8;
/** Of one account: nobody has two pictures, but some click twice. */
const maxOfOne = 2;

/**
 * Without it a few uploads keep everybody else waiting. After 64 KB: 100 Mbit/s, a picture in 0.4 s. And after 16 pieces,
 * however little is in them, for each takes memory of its own.
 */
const pause = { afterBytes: 64 * 1024, afterPieces: 16, ms: 5 };

/** Makes room for routes that take a form with a file, and nothing else. Everywhere else forms stay refused. */
export function serveUploads(server: FastifyInstance, serve: (scope: FastifyInstance) => void): void {
  void server.register((scope, _, done) => {
    scope.removeAllContentTypeParsers();
    scope.addContentTypeParser("*", (_request, _body, refuse) => refuse(new ServiceError("multipart_required")));
    // Reads nothing by itself: who is asking is known before the first byte is.
    void scope.register(multipart, { limits });
    serve(scope);
    done();
  });
}

export interface Uploads {
  /**
   * Reads the form of a request, to its end, and hands its file on.
   * @throws ServiceError `invalid_input` without a file, `body_too_large`, `malformed_request`, or `unavailable` when too
   * many are at it, this account or all together
   */
  receive<T>(request: FastifyRequest, handOn: (file: Readable) => Promise<T>): Promise<T>;
}

export function createUploads(): Uploads {
  /** The accounts that are at it, each as often as it is. */
  const open: (number | undefined)[] = [];
  return {
    async receive(request, handOn) {
      // While we asked who it is. Of what is over the plugin would never hear that it is, and wait for ever.
      if (request.raw.destroyed) throw new ServiceError("malformed_request");
      const { userId } = request;
      const own = open.filter((one) => one === userId).length;
      if (open.length >= maxAtOnce || own >= maxOfOne) throw new ServiceError("unavailable", { retryAfterSeconds: 2 });
      open.push(userId);
      try {
        return await handOn(fileStream(await fileIn(request)));
      } finally {
        open.splice(open.indexOf(userId), 1);
        // What was not read of it would stand before the next request of this connection. After chunks, which may have no
        // end, there is none: the connection ends with the answer.
        if (request.headers["transfer-encoding"] === undefined) request.raw.resume();
      }
    },
  };
}

async function fileIn(request: FastifyRequest): Promise<readonly Buffer[]> {
  // A request without any body is no form either.
  const files = request.isMultipart() ? await filesIn(request).catch(readable) : new Map<string, Buffer[]>();
  const file = files.get(fileField);
  if (!file) throw invalidFields({ [fileField]: "No file was submitted." });
  return file;
}

async function filesIn(request: FastifyRequest): Promise<ReadonlyMap<string, readonly Buffer[]>> {
  const files = new Map<string, Buffer[]>();
  const body = withPauses(request.raw);
  try {
    for await (const part of partsOf(request, body)) {
      if (part.type !== "file") continue;
      const chunks: Buffer[] = [];
      // The plugin tells it too, once it has read the rest, which may be as long as the sender likes.
      part.file.once("limit", () => part.file.destroy(new ServiceError("body_too_large")));
      await pipeline(part.file, into(chunks));
      files.set(part.fieldname, chunks);
    }
    return files;
  } finally {
    request.raw.unpipe(body);
    body.destroy();
  }
}

/** The plugin reads from `raw` and knows of no other body: it is given the request with another `raw`. */
function partsOf(request: FastifyRequest, body: Readable): ReturnType<FastifyRequest["parts"]> {
  const raw = Object.assign(body, { headers: request.headers });
  return request.parts.call(Object.create(request, { raw: { value: raw } }) as FastifyRequest);
}

/**
 * The body of a request: all of it counts, and what belongs to no part as well, or somebody would send without an end what
 * nobody looks at.
 */
function withPauses(request: IncomingMessage): Transform {
  let [left, bytes, pieces] = [maxUploadBytes, 0, 0];
  const { socket } = request;
  // Twice as much with what is around chunks of some bytes; in front of each may stand 16 KB that Node throws away.
  const end = socket.bytesRead + 2 * maxUploadBytes;
  const body = new Transform({
    highWaterMark: 1,
    transform(chunk: Buffer, _, done) {
      [left, bytes, pieces] = [left - chunk.length, bytes + chunk.length, pieces + 1];
      const isEnough = bytes >= pause.afterBytes || pieces >= pause.afterPieces;
      if (isEnough) [bytes, pieces] = [0, 0];
      if (left < 0 || socket.bytesRead > end) done(new ServiceError("body_too_large"));
      else if (isEnough) setTimeout(done, pause.ms, null, chunk);
      else done(null, chunk);
    },
  });
  // Who sends has hung up: a phone that lost its signal is no error of ours.
  finished(request, (cause) => {
    if (cause) body.destroy(new ServiceError("malformed_request", {}, { cause }));
  });
  return request.pipe(body);
}

/** Takes piece by piece as they came: who reads what has gathered (`for await`) gets a copy of it. */
function into(chunks: Buffer[]): Writable {
  return new Writable({
    highWaterMark: 1,
    write(chunk: Buffer, _, done) {
      chunks.push(chunk);
      done();
    },
  });
}

/** The plugin's errors have a code, and so have ours; those of the parser below it have none, and are about what was sent. */
function readable(error: unknown): never {
  if (error instanceof Error && "code" in error) throw error;
  throw new ServiceError("malformed_request", {}, { cause: error });
}
