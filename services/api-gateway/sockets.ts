import type { IncomingMessage, RequestListener, Server } from "node:http";
import type { Socket } from "node:net";
import { errorList } from "../../lib/errors.ts";
import { oneATurn } from "./one-a-turn.ts";
import { PatientServer } from "./patient-server.ts";

const limits = {
  // Half of what Node allows: so is what a connection costs that sends headers without an end.
  maxHeaderSize: 8 * 1024,
  headersTimeout: 10_000,
  requestTimeout: 15_000,
  keepAliveTimeout: 65_000,
  // Node looks whose time is over every 30 s only, unless told otherwise.
  connectionsCheckingInterval: 1000,
  // `framingProblem` asks for it, and answers with our headers.
  requireHostHeader: false,
};
/** For whoever does not read his answers; longer than any answer takes to come. */
const silenceMs = 20_000;
/** For whoever was refused, to read why. Nothing more of him is read. */
const lingerMs = 1000;
/** No browser, proxy or app sends a request on a connection before it has the answer to the last one. */
const maxUnanswered = 16;

/** Node's HTTP server with limits on what a connection may cost, for Fastify's `serverFactory` and `clientErrorHandler`. */
export function limitedSockets(staticHeaders: Readonly<Record<string, string>>) {
  const inTurn = oneATurn();
  const refuse = refusal(staticHeaders, inTurn);
  return {
    serverFactory: (handle: RequestListener): Server => {
      const server = new PatientServer(limits, (request, response) => {
        if (countUnanswered(request.socket, 1) > maxUnanswered) return void request.socket.destroy();
        response.once("close", () => countUnanswered(request.socket, -1));
        handle(request, response);
      });
      server.setTimeout(silenceMs);
      // Node's own answer to an `Expect` that nobody knows would be without our headers.
      server.on("checkExpectation", ({ socket }: IncomingMessage) => refuse(socket, "417 Expectation Failed"));
      return server;
    },
    clientErrorHandler: (error: Error & { code?: string }, socket: Socket): void => {
      if (error.code === "ECONNRESET") socket.destroy();
      // Node finds all at once whose time is over.
      else if (error.code === "ERR_HTTP_REQUEST_TIMEOUT") inTurn(() => refuse(socket, "408 Request Timeout"));
      else refuse(socket, statusOf(error.code));
    },
  };
}

const unanswered = new WeakMap<Socket, number>();

/** Node begins all requests that came in one packet at once, a thousand of them, and holds their answers until they are read. */
function countUnanswered(socket: Socket, more: 1 | -1): number {
  const count = (unanswered.get(socket) ?? 0) + more;
  unanswered.set(socket, count);
  return count;
}

/** What Node gives up on before it is a request for Fastify: the answer is written by hand, and the connection ends. */
function refusal(staticHeaders: Readonly<Record<string, string>>, inTurn: (job: () => void) => void) {
  const body = JSON.stringify({ detail: errorList.malformed_request.detail, code: "malformed_request" });
  const headers = Object.entries({
    ...staticHeaders,
    "content-type": "application/json; charset=utf-8",
    "content-length": body.length,
    connection: "close",
  }).map(([name, value]) => `${name}: ${value}\r\n`);
  return (socket: Socket, status: string): void => {
    if (!socket.writable) return void socket.destroy();
    socket.end(`HTTP/1.1 ${status}\r\n${headers.join("")}\r\n${body}`);
    // Not closed at once: what the other side has sent meanwhile would make that a reset, which may overtake the answer.
    socket.pause();
    setTimeout(inTurn, lingerMs, () => socket.destroy()).unref();
  };
}

const statusOf = (code: string | undefined): string =>
  code === "HPE_HEADER_OVERFLOW" ? "431 Request Header Fields Too Large" : "400 Bad Request";
