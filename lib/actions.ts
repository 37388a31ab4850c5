import { Readable } from "node:stream";
import type { ActionSchema, Context, ServiceBroker } from "moleculer";
import type { ActionContract, Auth, Params, Result, Sent, ServiceContract } from "./contract.ts";
import type { Actor } from "./principal.ts";

/** What travels beside an action's parameters. */
export interface Meta {
  readonly actor?: Actor;
}
/** What the authorisation middleware leaves for the handler; it never crosses the transporter. */
export interface Locals {
  actor: Actor;
}

declare module "moleculer" {
  interface ActionSchema {
    auth?: Auth;
  }
}

type Handlers<C extends ServiceContract> = {
  readonly [K in keyof C]: (params: Params<C[K]>, actor: Actor, stream?: Readable) => Promise<Result<C[K]>>;
};
type Handler = (params: unknown, actor: Actor, stream?: Readable) => Promise<unknown>;

/** The broker's actions for a contract: its validator and its words, and one handler each. */
export function implement<C extends ServiceContract>(
  contract: C,
  handlers: Handlers<NoInfer<C>>,
): Record<string, ActionSchema> {
  const actions = Object.entries(contract).map(([name, action]): [string, ActionSchema] => {
    // The one place where the contract's types meet the broker's untyped context: the validator has made them true.
    const handler = handlers[name] as unknown as Handler;
    return [
      name,
      {
        params: { $$strict: action.unknown === "ignore" ? "remove" : true, ...action.params },
        visibility: action.visibility,
        auth: action.auth,
        handler: async (ctx: Context<unknown, Meta>) => {
          const { actor } = ctx.locals as Partial<Locals>;
          // Without the middleware that decides who may what, nobody may anything.
          if (!actor) throw new Error("the middleware `authorize` is not installed");
          const stream = ctx.stream instanceof Readable ? ctx.stream : undefined;
          try {
            return await handler(ctx.params, actor, stream);
          } finally {
            // What the handler has not read would stay in memory.
            stream?.destroy();
          }
        },
      },
    ];
  });
  return Object.fromEntries(actions);
}

/**
 * Calls an action by its contract, wherever it runs. The actor is handed on as a value: what a callee does to its
 * context never comes back.
 * @throws an error with a `type` of lib/errors.ts, or one of the broker's own (not there, too slow, queue full)
 */
export async function call<C extends Pick<ActionContract, "name">>(
  broker: ServiceBroker,
  action: C,
  params: Sent<C>,
  actor: Actor,
  options: CallOptions = {},
): Promise<Result<C>> {
  return (await callByName(broker, action.name, params, actor, options)) as Result<C>;
}

export interface CallOptions {
  /** Milliseconds; the broker's `requestTimeout` when it is not given. */
  readonly timeout?: number;
  /** What is too large for the parameters; the handler's third argument. */
  readonly stream?: Readable;
}

/** The same for whoever knows the action only at run time: a table of routes. The action's validator still checks. */
export async function callByName(
  broker: ServiceBroker,
  name: string,
  params: unknown,
  actor: Actor,
  options: CallOptions = {},
): Promise<unknown> {
  const requestId = actor.requestId === "" ? {} : { requestID: actor.requestId };
  return await broker.call(name, params, { meta: { actor }, ...requestId, ...options });
}
