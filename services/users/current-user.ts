import { ServiceError } from "../../lib/errors.ts";
import type { Actor } from "../../lib/principal.ts";
import { fullView, type FullView } from "../../mixins/accounts/account.ts";
import { findAccount } from "../../mixins/accounts/accounts.repository.ts";
import type { UsersDeps } from "./deps.ts";

export async function currentUser({ config, clock, db }: UsersDeps, actor: Actor): Promise<FullView> {
  const account = actor.principal && (await findAccount(db, actor.principal.userId));
  if (!account) throw new ServiceError("not_authenticated");
  return fullView(account, config.publicUrl, clock.now());
}
