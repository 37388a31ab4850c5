import { ServiceError } from "../../lib/errors.ts";
import type { Actor } from "../../lib/principal.ts";
import { fullView, publicView, type FullView, type PublicView } from "../../mixins/accounts/account.ts";
import type { ViewDeps } from "./deps.ts";

/** Somebody looks at his own account. */
export async function currentUser({ config, clock, accounts }: ViewDeps, actor: Actor): Promise<FullView> {
  const account = actor.principal && (await accounts.find(actor.principal.userId));
  if (!account) throw new ServiceError("not_authenticated");
  return fullView(account, config.publicUrl, clock.now());
}

/** Somebody looks at an account: all of it for a moderator and for the account itself, name and picture for all others. */
export async function viewUser(deps: ViewDeps, id: number, actor: Actor): Promise<FullView | PublicView> {
  const account = await deps.accounts.find(id);
  if (!account) throw new ServiceError("not_found");
  const { principal } = actor;
  const isOwn = principal?.userId === id;
  const isModerator = principal?.role === "MO" && principal.verified;
  if (isModerator && !isOwn)
    deps.reads.tell("sensitive_read", actor, { subjectId: id, details: { object: "account" } });
  if (isModerator || isOwn) return fullView(account, deps.config.publicUrl, deps.clock.now());
  return publicView(account, deps.config.publicUrl);
}
