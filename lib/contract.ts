import type { ErrorCode } from "./errors.ts";
import type { Role } from "./roles.ts";
import type { Infer, InferRule, Input, Rule, Shape } from "./schema.ts";

/**
 * Who may call an action. `none`: anyone. `required`: any signed-in account. `{roles, verified}`: these roles, with a
 * verified address where asked. `internal`: other services only, never routed.
 */
export type Auth = "none" | "required" | "internal" | { readonly roles: readonly Role[]; readonly verified: boolean };

interface Definition {
  /** One sentence for OpenAPI. */
  readonly summary: string;
  /** `published`: may be routed by a gateway. `public`: called by other services alone. */
  readonly visibility: "published" | "public";
  readonly auth: Auth;
  readonly params: Shape;
  /** Parameters that are not listed: refused unless the original's clients are known to send some. */
  readonly unknown?: "refuse" | "ignore";
  readonly returns: Rule;
  /** Errors beyond those that every action of its kind has (see `openapi`). */
  readonly errors?: readonly ErrorCode[];
}

export interface ActionContract extends Definition {
  /** `service.action`, as the broker knows it. */
  readonly name: string;
}
export type ServiceContract = Readonly<Record<string, ActionContract>>;

type Contracts<D extends Record<string, Definition>> = { readonly [K in keyof D]: D[K] & { readonly name: string } };

/** What an action's handler gets, after validation. */
export type Params<C> = C extends { readonly params: infer P } ? Infer<P> : never;
/** What a caller sends. */
export type Sent<C> = C extends { readonly params: infer P } ? Input<P> : never;
/** What an action answers. */
export type Result<C> = C extends { readonly returns: infer R } ? InferRule<R> : never;

/** States a service's actions once; validator, types, typed calls and OpenAPI all come from this value. */
export function contract<const D extends Record<string, Definition>>(service: string, definitions: D): Contracts<D> {
  const entries = Object.entries(definitions).map(([action, d]) => [action, { ...d, name: `${service}.${action}` }]);
  return Object.fromEntries(entries) as Contracts<D>;
}
