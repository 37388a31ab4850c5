import type { Params, Result } from "../../lib/contract.ts";
import { ServiceError } from "../../lib/errors.ts";
import type { Actor } from "../../lib/principal.ts";
import { fullView, type FullView } from "../../mixins/accounts/account.ts";
import { findAccount } from "../../mixins/accounts/accounts.repository.ts";
import { appendAudit } from "../../mixins/accounts/audit.repository.ts";
import { createAccount } from "../../mixins/accounts/change-account.ts";
import { queueMail } from "../../mixins/accounts/mails.repository.ts";
import type { authContract } from "./auth.contract.ts";
import type { AuthDeps } from "./deps.ts";
import { once, rememberRequest, repeatable, type Earlier } from "./idempotency.ts";
import { readNewAccount, registeredEvent, type CreateOptions } from "./new-account.ts";

/** A moderator makes another one: the address is taken on trust, and nobody is signed in. */
export async function createModerator(
  deps: AuthDeps,
  input: Params<typeof authContract.createModerator>,
  actor: Actor,
  { sendEmail = true }: CreateOptions = {},
): Promise<Result<typeof authContract.createModerator>> {
  const request = repeatable("MO", input);

  const create = async (): Promise<FullView> => {
    const account = await readNewAccount(deps, input, "MO", actor);
    const created = await deps.db.transaction(async (tx) => {
      const moderator = await createAccount(tx, { ...account, isEmailVerified: true }, (c) => registeredEvent(deps, c));
      if (request) await rememberRequest(tx, request, moderator.id);
      const { id: userId, email: address, profile } = moderator;
      const data = { role: "MO", first_name: profile.firstName } as const;
      if (sendEmail) await queueMail(tx, { kind: "welcome-moderator", userId, address, data });
      await appendAudit(tx, "user_created", actor, { subjectId: userId, details: { role: "MO" } });
      return moderator;
    });
    deps.securityLog("user_created", actor, { subject_id: created.id, role: "MO" });
    return fullView(created, deps.config.publicUrl, deps.clock.now());
  };

  const repeat = async ({ userId }: Earlier): Promise<FullView> => {
    const account = await findAccount(deps.db, userId);
    if (!account) throw new ServiceError("idempotency_key_reused");
    return fullView(account, deps.config.publicUrl, deps.clock.now());
  };
  return await once(deps, request, actor, { create, repeat });
}
