import { ServiceError } from "../../lib/errors.ts";
import type { Actor } from "../../lib/principal.ts";
import type { Account } from "../../mixins/accounts/account.ts";
import { findAccount, lockAccount } from "../../mixins/accounts/accounts.repository.ts";
import { queueMail } from "../../mixins/accounts/mails.repository.ts";
import { issueOneTimeToken } from "../../mixins/accounts/one-time-tokens.repository.ts";
import type { Transaction } from "../../mixins/database/database.ts";
import type { AuthDeps } from "./deps.ts";
import { ofAddress } from "./throttling/subjects.ts";

/** Somebody asks for the verification link again. */
export async function sendVerification(deps: AuthDeps, actor: Actor): Promise<Record<string, never>> {
  const userId = actor.principal?.userId ?? 0;
  const { emailCanonical } = unverified(await findAccount(deps.db, userId));
  await deps.throttle.spend(actor, "verification-mails", ofAddress(emailCanonical));
  await deps.db.transaction(async (tx) => queueVerificationMail(deps, tx, unverified(await lockAccount(tx, userId))));
  return {};
}

function unverified(account: Account | undefined): Account {
  if (!account) throw new ServiceError("not_authenticated");
  if (account.isEmailVerified) throw new ServiceError("email_already_verified");
  return account;
}

/** A link to the stored address; links mailed before stop working. */
export async function queueVerificationMail(deps: AuthDeps, tx: Transaction, account: Account): Promise<void> {
  const oneTimeTokenId = await issueOneTimeToken(tx, {
    userId: account.id,
    purpose: "verify-email",
    address: account.email,
    ttlSeconds: deps.config.verificationLinkTtl,
  });
  await queueMail(tx, {
    kind: "verify-email",
    userId: account.id,
    address: account.email,
    data: { role: account.role, first_name: account.profile.firstName },
    oneTimeTokenId,
  });
}
