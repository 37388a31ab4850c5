import type { ActionHandler, ActionSchema, Context, Middleware } from "moleculer";
import type { Locals, Meta } from "../../lib/actions.ts";
import type { Auth } from "../../lib/contract.ts";
import { ServiceError } from "../../lib/errors.ts";
import { withTrace } from "../../lib/trace.ts";
import { readActor, type Actor } from "../../lib/principal.ts";
import { roles } from "../../lib/roles.ts";

const visibilities = ["published", "public", "protected", "private"];

/** Enforces the word `auth` of every action; one without it, or with a word that nobody understands, stops the start. */
export const authorize: Middleware = {
  name: "Authorize",
  localAction(next: ActionHandler, action: ActionSchema): ActionHandler {
    const auth = readAuth(action);
    return async (ctx: Context<unknown, Meta>): Promise<unknown> => {
      // Taken once: a nested call may merge its own meta into ours.
      const actor = readActor(ctx.meta.actor);
      demand(auth, actor);
      (ctx.locals as Locals).actor = actor;
      const handle = next as (ctx: Context<unknown, Meta>) => Promise<unknown>;
      return await withTrace(actor.traceparent, () => handle(ctx));
    };
  },
};

function readAuth(action: ActionSchema): Auth {
  const { auth, visibility } = action;
  const fail = (what: string) => new Error(`The action ${String(action.name)} ${what}`);
  if (!visibilities.includes(visibility ?? "")) throw fail("must state its visibility");
  if (auth === undefined) throw fail('must state who may call it ("auth")');
  if (auth === "internal" && visibility === "published") throw fail("is internal and must not be published");
  if (auth === "none" || auth === "required" || auth === "internal") return auth;
  if (
    !Array.isArray(auth.roles) ||
    auth.roles.length === 0 ||
    !auth.roles.every((role: unknown) => roles.some((known) => known === role))
  ) {
    throw fail("names a role that does not exist");
  }
  if (typeof auth.verified !== "boolean") throw fail("must say whether a verified address is needed");
  return auth;
}

function demand(auth: Auth, { principal }: Actor): void {
  if (auth === "none" || auth === "internal") return;
  if (!principal) throw new ServiceError("not_authenticated");
  if (auth === "required") return;
  if (!auth.roles.includes(principal.role)) throw new ServiceError("permission_denied");
  if (auth.verified && !principal.verified) throw new ServiceError("email_not_verified");
}
