import type { Params } from "../../lib/contract.ts";
import { readTogether, ServiceError } from "../../lib/errors.ts";
import type { EmailAddress } from "../../lib/email-address.ts";
import type { Actor } from "../../lib/principal.ts";
import { changeProfile } from "../../mixins/accounts/account-changes.ts";
import { fullView, type Account, type FullView } from "../../mixins/accounts/account.ts";
import { findAccount, lockAccount, setPendingEmail } from "../../mixins/accounts/accounts.repository.ts";
import { appendAudit } from "../../mixins/accounts/audit.repository.ts";
import { changeDetails } from "../../mixins/accounts/changed-fields.ts";
import { queueMail } from "../../mixins/accounts/mails.repository.ts";
import { issueOneTimeToken } from "../../mixins/accounts/one-time-tokens.repository.ts";
import { readEmail, readProfile } from "../../mixins/accounts/profile-input.ts";
import { lockLiveSession } from "../../mixins/accounts/sessions.repository.ts";
import type { Transaction } from "../../mixins/database/database.ts";
import type { authContract } from "./auth.contract.ts";
import { demandPassword } from "./demand-password.ts";
import type { AuthDeps } from "./deps.ts";
import { ofAddress } from "./throttling/subjects.ts";

type Input = Params<typeof authContract.updateOwn>;

const undoDays = 7;
const day = 24 * 60 * 60;

/**
 * Somebody changes his own account. The profile changes at once; a new address needs the password, and counts only when
 * the link mailed to it has been followed. The old address is told, and can take the change back for a week.
 */
export async function updateOwnAccount(deps: AuthDeps, input: Input, actor: Actor): Promise<FullView> {
  const { config, db, clock } = deps;
  const before = await findAccount(db, actor.principal?.userId ?? 0);
  if (!before) throw new ServiceError("not_authenticated");
  const profileOf = ({ role, profile: { birthDate } }: Account) =>
    readProfile(config, input.user_profile ?? {}, { role, birthDate, now: clock.now() });
  const [, typed] = readTogether(
    () => profileOf(before),
    () => (input.email === undefined ? undefined : readEmail(input.email)),
  );
  // The front end sends the address back as it was, in whatever spelling: that asks for nothing.
  const email = typed?.canonical === before.emailCanonical ? undefined : typed;
  if (email) {
    await demandPassword(deps, before, { field: "current_password", password: input.current_password }, actor);
    await deps.throttle.spend(actor, "address-changes", ofAddress(before.emailCanonical));
    await deps.throttle.spend(actor, "confirmation-mails", ofAddress(email.canonical));
  }

  const after = await db.transaction(async (tx) => {
    const locked = await lockAccount(tx, before.id);
    // While the password was compared somebody may have changed it, deactivated the account, taken it over by a mail, or
    // signed this device out.
    const session = await lockLiveSession(tx, actor.principal?.sessionId ?? "");
    if (!locked?.isActive || locked.sessionEpoch !== before.sessionEpoch || !session)
      throw new ServiceError("session_ended");
    // Read again by what the account is now: its role may have changed, and the least age with it.
    const changed = await changeProfile(config, tx, locked, profileOf(locked));
    const after = email ? await requestNewEmail(deps, tx, changed, email) : changed;
    if (after !== locked) {
      await appendAudit(tx, "user_updated", actor, { subjectId: after.id, details: changeDetails(locked, after) });
    }
    return after;
  });
  deps.securityLog("user_updated", actor, { new_email_requested: email !== undefined });
  return fullView(after, config.publicUrl, clock.now());
}

/** Whether the address is free is not told here, only to whoever holds the link: its owner. */
async function requestNewEmail(
  deps: AuthDeps,
  tx: Transaction,
  account: Account,
  email: EmailAddress,
): Promise<Account> {
  await setPendingEmail(tx, account.id, email.address);
  const data = { role: account.role, first_name: account.profile.firstName };
  const token = { userId: account.id, address: email.address };
  const confirm = await issueOneTimeToken(tx, {
    ...token,
    purpose: "confirm-email",
    ttlSeconds: deps.config.verificationLinkTtl,
  });
  await queueMail(tx, {
    kind: "confirm-email",
    userId: account.id,
    address: email.address,
    data,
    oneTimeTokenId: confirm,
  });
  const undo = await issueOneTimeToken(tx, {
    userId: account.id,
    address: account.email,
    purpose: "undo-email",
    ttlSeconds: undoDays * day,
  });
  await queueMail(tx, {
    kind: "email-change-notice",
    userId: account.id,
    address: account.email,
    data,
    oneTimeTokenId: undo,
  });
  return { ...account, pendingEmail: email.address };
}
