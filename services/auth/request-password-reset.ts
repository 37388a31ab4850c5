import type { Params } from "../../lib/contract.ts";
import { system, type Actor } from "../../lib/principal.ts";
import { findCredentials, lockAccount } from "../../mixins/accounts/accounts.repository.ts";
import { appendAudit } from "../../mixins/accounts/audit.repository.ts";
import { queueMail } from "../../mixins/accounts/mails.repository.ts";
import { issueOneTimeToken } from "../../mixins/accounts/one-time-tokens.repository.ts";
import { readEmail } from "../../mixins/accounts/profile-input.ts";
import type { authContract } from "./auth.contract.ts";
import type { AuthDeps } from "./deps.ts";
import { insertResetRequest, takeResetRequest } from "./reset-requests.repository.ts";
import { ofAddress, ofNetwork } from "./throttling/subjects.ts";

/**
 * Somebody has forgotten his password. The address is written down and nothing else: whether it is known is looked up
 * after the answer, which is therefore the same, and takes the same time, either way. So is the budget of mails: it belongs to
 * the address as typed.
 */
export async function requestPasswordReset(
  deps: AuthDeps,
  input: Params<typeof authContract.requestPasswordReset>,
  actor: Actor,
): Promise<Record<string, never>> {
  const { canonical } = readEmail(input.email);
  await deps.throttle.spend(actor, "reset-requests-from-ip", ofNetwork(actor));
  await deps.throttle.spend(actor, "reset-mails", ofAddress(canonical));
  await deps.db.transaction((tx) => insertResetRequest(tx, canonical, actor));
  return {};
}

/** Takes the oldest request: a link goes to the stored address of an active account, and nothing happens without one. */
export async function followUpResetRequest({ config, db }: AuthDeps): Promise<"more" | "done"> {
  return await db.transaction(async (tx) => {
    const request = await takeResetRequest(tx);
    if (!request) return "done";
    const { emailCanonical: canonicalEmail, ...from } = request;
    const known = await findCredentials(tx, { canonicalEmail });
    const account = known && (await lockAccount(tx, known.id));
    // The address may have become another's while we waited for the lock.
    if (!account?.isActive || account.emailCanonical !== canonicalEmail) return "more";
    const { id: userId, email: address, role, profile } = account;
    const ttlSeconds = config.resetLinkTtl;
    const oneTimeTokenId = await issueOneTimeToken(tx, { userId, purpose: "reset-password", address, ttlSeconds });
    const data = { role, first_name: profile.firstName };
    await queueMail(tx, { kind: "reset-password", userId, address, data, oneTimeTokenId });
    const about = { subjectId: userId, details: { purpose: "reset-password" } };
    await appendAudit(tx, "authn_token_created", { ...system, ...from }, about);
    return "more";
  });
}
