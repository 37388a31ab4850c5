import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import type { ServiceBroker } from "moleculer";
import { callByName } from "../../lib/actions.ts";
import type { Rule } from "../../lib/schema.ts";
import type { AccessGuard } from "../../mixins/access-guard.ts";
import { signInCookies, signOutCookies } from "./cookies.ts";
import { identify } from "./identify.ts";
import { demandPermission } from "./permissions.ts";
import type { Answer, Route } from "./routes.ts";

export interface GatewayDeps {
  readonly broker: ServiceBroker;
  readonly guard: AccessGuard;
  readonly secureCookies: boolean;
}

/** Turns the table of routes into handlers: identify, collect the parameters, call the action, answer. */
export function serveRoutes(server: FastifyInstance, deps: GatewayDeps, routes: readonly Route[]): void {
  for (const route of routes) {
    if (route.action.visibility !== "published" || route.action.auth === "internal") {
      throw new Error(`${route.action.name} must not be reachable from outside`);
    }
    demandPermission(route);
    const config = { acts: route.acts };
    server.route({ method: route.method, url: route.path, config, handler: handle(deps, route) });
  }
}

export function handle(deps: GatewayDeps, route: Route) {
  const needed = route.action.auth === "none" ? (route.identify ? "optional" : "no") : "required";
  return async (request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> => {
    const { actor, cookies } = await identify(deps.guard, request, needed);
    if (actor.principal) request.userId = actor.principal.userId;
    const params = {
      ...(route.body ? bodyOf(request) : {}),
      ...queryOf(request, route),
      ...pathOf(request, route),
      ...route.fixed(cookies),
    };
    const result = await callByName(deps.broker, route.action.name, params, actor);
    const answer = route.answer(result);
    if (answer.next) reply.header("link", nextPage(request.url, answer.next));
    return await sendAnswer(deps, reply, route.status, answer);
  };
}

async function sendAnswer(
  deps: GatewayDeps,
  reply: FastifyReply,
  status: number,
  answer: Answer,
): Promise<FastifyReply> {
  const { cookies } = answer;
  if (cookies === "sign-out") reply.header("set-cookie", signOutCookies(deps.secureCookies));
  else if (cookies) reply.header("set-cookie", signInCookies(cookies.signIn, deps.secureCookies));
  return await reply.code(status).send(answer.body);
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
