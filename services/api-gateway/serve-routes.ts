import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import type { ServiceBroker } from "moleculer";
import { callByName, type CallOptions } from "../../lib/actions.ts";
import type { Actor } from "../../lib/principal.ts";
import type { Rule } from "../../lib/schema.ts";
import type { AccessGuard } from "../../mixins/access-guard/access-guard.ts";
import type { AuditBuffer } from "../../mixins/audit/audit-buffer.ts";
import { deviceCookie, signInCookies, signOutCookies } from "./cookies.ts";
import { identify } from "./identify.ts";
import { demandPermission } from "./permissions.ts";
import { reportForbidden } from "./report-refusals.ts";
import type { Answer, Route } from "./routes.ts";
import { serveUploads, type Uploads } from "./uploads.ts";

export interface GatewayDeps {
  readonly broker: ServiceBroker;
  readonly guard: AccessGuard;
  readonly secureCookies: boolean;
  readonly uploads: Uploads;
  readonly refusals: AuditBuffer;
}

/** Turns the table of routes into handlers: identify, collect the parameters, call the action, answer. */
export function serveRoutes(server: FastifyInstance, deps: GatewayDeps, routes: readonly Route[]): void {
  for (const route of routes) {
    if (route.action.visibility !== "published" || route.action.auth === "internal") {
      throw new Error(`${route.action.name} must not be reachable from outside`);
    }
    demandPermission(route);
  }
  const add = (scope: FastifyInstance, upload: boolean): void => {
    for (const route of routes.filter((each) => each.upload === upload)) {
      const config = { acts: route.acts };
      scope.route({ method: route.method, url: route.path, config, handler: handle(deps, route) });
    }
  };
  add(server, false);
  serveUploads(server, (scope) => add(scope, true));
}

export function handle(deps: GatewayDeps, route: Route) {
  const needed = route.action.auth === "none" ? (route.identify ? "optional" : "no") : "required";
  return async (request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> => {
    const { actor, cookies } = await identify(deps.guard, request, needed);
    if (actor.principal) request.userId = actor.principal.userId;
    const closed = (): void => {
      if (!reply.raw.writableFinished) void deps.broker.broadcast("request.abandoned", { call: actor.call });
    };
    // Perhaps while it was asked who it is.
    if (reply.raw.destroyed) closed();
    else reply.raw.once("close", closed);
    const params = {
      ...(route.body ? bodyOf(request) : {}),
      ...queryOf(request, route),
      ...pathOf(request, route),
      ...route.fixed(cookies, { idempotencyKey: idempotencyKeyOf(request) }),
    };
    const run = (by: Actor, options?: CallOptions) => callByName(deps.broker, route.action.name, params, by, options);
    let result: unknown;
    try {
      result = await (route.upload ? upload(deps, request, actor, run) : run(actor));
    } catch (error) {
      reportForbidden(deps.refusals, route, actor, params, error);
      throw error;
    }
    const answer = route.answer(result);
    if (answer.next) reply.header("link", nextPage(request.url, answer.next));
    return await sendAnswer(deps, reply, route.status, answer);
  };
}

/** A file may take its time to come: who sent it is asked again when it is there. */
async function upload(
  { guard, uploads }: GatewayDeps,
  request: FastifyRequest,
  actor: Actor,
  run: (by: Actor, options: CallOptions) => Promise<unknown>,
): Promise<unknown> {
  return await uploads.receive(request, async (stream) => {
    const { principal } = (await identify(guard, request, "required")).actor;
    return await run({ ...actor, principal }, { stream, timeout: uploadTimeoutMs });
  });
}

/** Waiting for a turn, rendering and writing included. */
const uploadTimeoutMs = 15_000;

function idempotencyKeyOf({ headers }: FastifyRequest): string | null {
  const key = headers["idempotency-key"];
  return typeof key === "string" ? key : null;
}

async function sendAnswer(
  deps: GatewayDeps,
  reply: FastifyReply,
  status: number,
  answer: Answer,
): Promise<FastifyReply> {
  const cookies = cookiesOf(answer, deps.secureCookies);
  if (cookies.length > 0) reply.header("set-cookie", cookies);
  return await reply.code(status).send(answer.body);
}

function cookiesOf({ cookies }: Answer, secure: boolean): string[] {
  if (cookies === undefined) return [];
  if (cookies === "sign-out") return signOutCookies(secure);
  if ("signIn" in cookies) return signInCookies(cookies.signIn, secure);
  return cookies.device === undefined ? [] : [deviceCookie(cookies.device, secure)];
}

/** The JSON parser gives an object or refuses; without a body there is nothing to read. */
const bodyOf = (request: FastifyRequest): Record<string, unknown> =>
  (request.body as Record<string, unknown> | undefined) ?? {};

function pathOf(request: FastifyRequest, route: Route): Record<string, unknown> {
  const given = request.params as Readonly<Record<string, string>>;
  const entries = Object.entries(route.pathParams).map(([from, to]) => [
    to,
    typed(given[from], route.action.params[to]),
  ]);
  return Object.fromEntries(entries) as Record<string, unknown>;
}

function queryOf(request: FastifyRequest, route: Route): Record<string, unknown> {
  const given = request.query as Readonly<Record<string, unknown>>;
  const named = route.query.filter((name) => Object.hasOwn(given, name));
  return Object.fromEntries(named.map((name) => [name, typed(given[name], route.action.params[name])]));
}

/** Text as the contract's type; what has not exactly its form stays as it is, and the validator refuses it. */
function typed(value: unknown, rule: Rule | undefined): unknown {
  if (typeof value !== "string") return value;
  if (rule?.type === "number" && /^(?:0|[1-9][0-9]{0,15})$/.test(value)) return Number(value);
  if (rule?.type === "boolean" && /^(?:true|false)$/i.test(value)) return value.toLowerCase() === "true";
  return value;
}

/** RFC 8288. A relative reference: whatever name the client knows us by, it is the same page's next one. */
function nextPage(url: string, cursor: string): string {
  const [path = "", query] = url.split("?");
  const parameters = new URLSearchParams(query);
  parameters.set("after", cursor);
  return `<${path}?${parameters.toString()}>; rel="next"`;
}
