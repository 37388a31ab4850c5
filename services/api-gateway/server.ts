import { randomUUID } from "node:crypto";
import { METHODS, type IncomingHttpHeaders } from "node:http";
import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from "fastify";
import type { Config } from "../../lib/config.ts";
import { system } from "../../lib/principal.ts";
import { ServiceError } from "../../lib/errors.ts";
import type { Log } from "../../lib/log.ts";
import type { AuditBuffer } from "../../mixins/audit/audit-buffer.ts";
import { framingProblem } from "./framing.ts";
import { parseJsonBody } from "./json-body.ts";
import { errorHandler, sendError } from "./on-error.ts";
import { isForeignRequest, originRule } from "./origins.ts";
import { securityHeaders } from "./security-headers.ts";
import { limitedSockets } from "./sockets.ts";

declare module "fastify" {
  interface FastifyContextConfig {
    /** Takes a form's POST, not JSON. Its path holds a one-time token, which is its defence against foreign pages. */
    readonly form?: boolean;
    /** Stands for a method that the path does not have; these it has. */
    readonly allow?: string;
    /** A GET that does something: pages of others may not make it either. */
    readonly acts?: boolean;
  }
  interface FastifyRequest {
    /** The account that makes the request, for the log. */
    userId?: number;
    /** A page of another site makes it, and makes a change. */
    isForeign?: boolean;
  }
}

const bodyLimit = 16 * 1024;
const corsMaxAgeSeconds = 600;
/** The contract says something in these, and a page reads no header that is not named. */
const corsHeaders = {
  "access-control-allow-credentials": "true",
  "access-control-expose-headers": "link, retry-after, x-request-id",
};
const allowedHeaders = "content-type, authorization, x-csrftoken, x-request-id, idempotency-key";
const allowedMethods = "GET, POST, PUT, PATCH, DELETE";
const requestIdForm = /^[A-Za-z0-9-]{1,64}$/;
const unsafeMethods = new Set(["POST", "PUT", "PATCH", "DELETE"]);

export interface ServedRoute {
  readonly method: string;
  readonly url: string;
}

/** Collects what is served from now on: the whole truth about the gateway's surface. */
export function recordRoutes(server: FastifyInstance): readonly ServedRoute[] {
  const served: ServedRoute[] = [];
  server.addHook("onRoute", ({ url, method }) => {
    for (const one of [method].flat()) served.push({ method: one, url });
  });
  return served;
}

/** An HTTP server with every rule that holds for all routes, and no route yet. */
export function createServer(config: Config, log: Log, refusals: AuditBuffer): FastifyInstance {
  const mayUse = originRule(config);
  const staticHeaders = securityHeaders(config.web.secureCookies);
  const tell = accessLog(log);
  const server = Fastify({
    logger: false,
    bodyLimit,
    trustProxy: (_, hop) => hop < config.web.trustedProxyHops,
    // A client's own id only when it is harmless in a log.
    genReqId: ({ headers }) => {
      const id = headers["x-request-id"];
      return typeof id === "string" && requestIdForm.test(id) ? id : randomUUID();
    },
    routerOptions: { ignoreTrailingSlash: true, maxParamLength: 300 },
    exposeHeadRoutes: false,
    ...limitedSockets(staticHeaders),
    forceCloseConnections: "idle",
    return503OnClosing: false,
    // Instead of any hook: a URL that cannot be decoded, or has too long a part. Nobody reads a body that it may have.
    frameworkErrors: (error, request, reply) => {
      reply.headers(staticHeaders).headers({ "x-request-id": request.id, connection: "close" });
      reply.raw.once("finish", () => tell(request, reply));
      const problem = framingProblem(request.raw);
      if (problem === undefined) errorHandler(log)(error, request, reply);
      else sendError(reply, problem);
    },
  });

  const noticeProxy = proxyNotice(config, log);
  server.addHook("onRequest", async (request, reply) => {
    const { origin } = request.headers;
    noticeProxy(request.headers);
    reply.headers(staticHeaders);
    reply.header("x-request-id", request.id);
    const problem = framingProblem(request.raw);
    if (problem !== undefined) return sendError(reply.header("connection", "close"), problem);
    // A body without a length may never end, and after the answer Node would go on reading it. After an upgrade that it
    // does not make, Node's parser drops the rest of the packet: a second request in it would get the answer to a third.
    const isLast = request.headers["transfer-encoding"] !== undefined || request.headers.upgrade !== undefined;
    if (isLast) reply.header("connection", "close");
    if (origin !== undefined && mayUse(origin)) {
      reply.headers({ ...corsHeaders, "access-control-allow-origin": origin });
    }
    if (request.method === "OPTIONS") return await answerPreflight(reply);
    const { acts, allow, form } = request.routeOptions.config;
    if (allow !== undefined) return sendError(reply.header("allow", allow), "method_not_allowed");
    const encoding = request.headers["content-encoding"];
    if (encoding !== undefined && encoding !== "identity") throw new ServiceError("unsupported_media_type");
    const changes = unsafeMethods.has(request.method) || acts === true;
    const foreign = changes && isForeignRequest(request.headers, mayUse);
    request.isForeign = foreign;
    if (foreign && form !== true) {
      const userAgent = request.headers["user-agent"] ?? "";
      const from = { ...system, requestId: request.id, ip: request.ip, userAgent };
      const route = `${request.method} ${request.routeOptions.url ?? "none"}`;
      refusals.tell("malicious_csrf", from, { details: { route } });
      throw new ServiceError("cross_site_request");
    }
  });

  server.addHook("onResponse", (request, reply, done) => {
    tell(request, reply);
    done();
  });

  server.removeAllContentTypeParsers();
  server.addContentTypeParser("application/json", { parseAs: "string" }, (_, text, done) => {
    try {
      done(null, parseJsonBody(String(text)));
    } catch (error) {
      done(error as Error);
    }
  });
  server.addContentTypeParser("application/x-www-form-urlencoded", { parseAs: "string" }, (request, text, done) => {
    if (request.routeOptions.config.form === true) done(null, new URLSearchParams(String(text)));
    else done(new ServiceError("unsupported_media_type"));
  });
  server.setErrorHandler(errorHandler(log));
  server.setNotFoundHandler((_, reply) => sendError(reply, "not_found"));
  return server;
}

/** A line for each answer. */
function accessLog(log: Log): (request: FastifyRequest, reply: FastifyReply) => void {
  return (request, reply) => {
    // The pattern and never the URL: links have their token in the path.
    const route = request.routeOptions.url ?? "none";
    // Probes come every few seconds and tell nothing.
    const level = route.startsWith("/health/") ? "debug" : "info";
    log[level](
      {
        event: "http_request",
        method: request.method,
        route,
        status: reply.statusCode,
        ms: Math.round(reply.elapsedTime),
        user_id: request.userId,
        ip: request.ip,
        request_id: request.id,
      },
      `${request.method} ${route} ${reply.statusCode}`,
    );
  };
}

/** Says once that somebody writes `X-Forwarded-For`: if it is a proxy, all of its clients have one budget until it is configured. */
function proxyNotice({ web }: Config, log: Log): (headers: IncomingHttpHeaders) => void {
  let silent = web.trustedProxyHops > 0;
  return (headers) => {
    if (silent || headers["x-forwarded-for"] === undefined) return;
    silent = true;
    log.warn(
      {},
      "X-Forwarded-For came in, and does not count: TRUSTED_PROXY_HOPS is 0. Set it if a proxy stands in front.",
    );
  };
}

/** Never routed further: an OPTIONS request runs no action. */
async function answerPreflight(reply: FastifyReply): Promise<unknown> {
  reply.header("access-control-allow-methods", allowedMethods);
  reply.header("access-control-allow-headers", allowedHeaders);
  reply.header("access-control-max-age", corsMaxAgeSeconds);
  return await reply.code(204).send();
}

/** Once all routes are there: a known path with a method that it does not have is 405 with `Allow`, and executes nothing. */
export function refuseOtherMethods(server: FastifyInstance, served: readonly ServedRoute[]): void {
  // OPTIONS is answered before any route; CONNECT never reaches one.
  const all = METHODS.filter((method) => method !== "OPTIONS" && method !== "CONNECT");
  for (const method of all) if (!server.supportedMethods.includes(method)) server.addHttpMethod(method);
  for (const [url, routes] of Map.groupBy(served, (route) => route.url)) {
    const known = routes.map((route) => route.method);
    server.route({
      url,
      method: all.filter((method) => !known.includes(method)),
      config: { allow: known.join(", ") },
      // Never run: the answer is given before a body would be read.
      handler: (_, reply) => sendError(reply, "method_not_allowed"),
    });
  }
}
