import type { Params } from "../../lib/contract.ts";
import { invalidFields, readTogether, ServiceError } from "../../lib/errors.ts";
import type { Actor } from "../../lib/principal.ts";
import {
  changeActivity,
  changeEmail,
  changeProfile,
  changeRole,
  changeVerification,
} from "../../mixins/accounts/account-changes.ts";
import { fullView, type Account, type FullView } from "../../mixins/accounts/account.ts";
import { countModerators, lockAccount, lockModeration } from "../../mixins/accounts/accounts.repository.ts";
import { appendAudit } from "../../mixins/accounts/audit.repository.ts";
import { changeDetails } from "../../mixins/accounts/changed-fields.ts";
import { queueMail } from "../../mixins/accounts/mails.repository.ts";
import { readEmail, readProfile } from "../../mixins/accounts/profile-input.ts";
import type { Transaction } from "../../mixins/database/database.ts";
import type { UsersDeps } from "./deps.ts";
import type { usersContract } from "./users.contract.ts";

type Changes = Params<typeof usersContract.update>;

/** A moderator changes an account: any part of it, each part with the event that belongs to it, all or nothing. */
export async function moderateUser(deps: UsersDeps, changes: Changes, actor: Actor): Promise<FullView> {
  const { config, clock } = deps;
  const now = clock.now();
  const after = await deps.db.transaction(async (tx) => {
    const before = await lockAccount(tx, changes.id);
    if (!before) throw new ServiceError("not_found");
    const [email, profile] = readTogether(
      () => (changes.email === undefined ? undefined : readEmail(changes.email)),
      () => {
        const { birthDate } = before.profile;
        return readProfile(config, changes.user_profile ?? {}, { role: changes.role ?? before.role, birthDate, now });
      },
    );
    const moves = email !== undefined && email.canonical !== before.emailCanonical;
    const isOwn = changes.id === actor.principal?.userId;
    // One's own takes the password and a confirmation. In another spelling it is none that somebody would ask for.
    if (moves && isOwn)
      throw invalidFields({ email: "Your own address is changed at /users/current/, with your password." });
    let account = before;
    account = await changeProfile(config, tx, account, profile);
    if (email && !isOwn) account = await changeEmail(tx, account, email);
    if (moves) await tellOldAddress(tx, before);
    if (changes.role) account = await changeRole(config, tx, account, changes.role, now);
    if (changes.is_email_verified !== undefined) {
      account = await changeVerification(tx, account, changes.is_email_verified);
    }
    if (changes.is_active !== undefined) account = await changeActivity(tx, account, changes.is_active);
    await demandOneModerator(tx, before, account);
    const details = changeDetails(before, account);
    await appendAudit(tx, "authz_change", actor, { subjectId: changes.id, details });
    return { before, account };
  });
  const changed = after.account.version - after.before.version;
  deps.securityLog("authz_change", actor, { subject_id: changes.id, changes: changed });
  return fullView(after.account, config.publicUrl, now);
}

/** Whoever reads it knows then, in case the moderator's session was stolen (ASVS 6.3.7). */
async function tellOldAddress(tx: Transaction, { id, email, role, profile }: Account): Promise<void> {
  const data = { role, first_name: profile.firstName };
  await queueMail(tx, { kind: "email-moved", userId: id, address: email, data });
}

/** Somebody must be left who can moderate. */
async function demandOneModerator(tx: Transaction, before: Account, after: Account): Promise<void> {
  if (!isModerator(before) || isModerator(after)) return;
  // Two moderators who demote each other at once must not both succeed.
  await lockModeration(tx);
  if ((await countModerators(tx)) === 0) throw new ServiceError("last_moderator");
}

const isModerator = ({ role, isActive, isEmailVerified }: Account): boolean =>
  role === "MO" && isActive && isEmailVerified;
