import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import type { ServiceBroker } from "moleculer";
import { call } from "../../lib/actions.ts";
import type { AccessGuard } from "../../mixins/access-guard.ts";
import { signInCookies, signOutCookies } from "./cookies.ts";
import { identify } from "./identify.ts";
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
    server.route({ method: route.method, url: route.path, handler: handle(deps, route) });
  }
}

export function handle(deps: GatewayDeps, route: Route) {
  const needed = route.action.auth === "none" ? (route.identify ? "optional" : "no") : "required";
  return async (request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> => {
    const { actor, cookies } = await identify(deps.guard, request, needed);
    if (actor.principal) request.userId = actor.principal.userId;
    const params = { ...(route.body ? bodyOf(request) : {}), ...pathOf(request, route), ...route.fixed(cookies) };
    // Not typed here, and checked where it arrives: the validator stands before every action.
    const result: unknown = await call(deps.broker, route.action, params as never, actor);
    return await sendAnswer(deps, reply, route.status, route.answer(result));
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
  const entries = Object.entries(route.pathParams).map(([from, to]) => {
    const text = given[from] ?? "";
    const isNumber = route.action.params[to]?.type === "number";
    // What is no plain number stays text, and the validator refuses it.
    return [to, isNumber && /^[0-9]{1,15}$/.test(text) ? Number(text) : text];
  });
  return Object.fromEntries(entries) as Record<string, unknown>;
}
