import { blockSeconds, inARow } from "../../../lib/budgets.ts";
import type { Actor } from "../../../lib/principal.ts";
import type { Account } from "../../../mixins/accounts/account.ts";
import { findCredentials } from "../../../mixins/accounts/accounts.repository.ts";
import type { Sql } from "../../../mixins/database/database.ts";
import type { AuthDeps } from "../deps.ts";
import { deviceToken, readDeviceToken } from "../device-token.ts";
import { ofAddress, ofNetwork } from "./subjects.ts";
import { keyOf } from "./throttle.ts";

/** Whose password somebody claims to know. */
interface Claim {
  /** As typed, in canonical form; `undefined` for what is no address, and so no account's. */
  readonly canonicalEmail: string | undefined;
  /** A session of this account that the claim is made in. */
  readonly sessionId?: string | undefined;
}

type AttemptDeps = Pick<AuthDeps, "throttle"> & {
  readonly db: Sql;
  readonly keys: Pick<AuthDeps["keys"], "device">;
  readonly refusals: Pick<AuthDeps["refusals"], "tell">;
};

/** What the right password gives; or whose password it was not, if anybody's. */
interface Compared<T> {
  readonly right?: T;
  readonly subjectId?: number | undefined;
}

/**
 * Compares a password if that may still be tried. Every attempt is spent before it is made, of the account's budget and of
 * the network's; a right password forgets the wrong ones. A device that signed in before, and a session, have a budget of
 * their own instead, so that neither a stranger nor a bad neighbour locks the owner out.
 * @param compare an unknown address is a wrong password, an inactive account another
 * @returns `undefined` for a wrong one
 * @throws ServiceError `too_many_requests`, before what was typed is looked up
 */
export async function attemptPassword<T extends object>(
  deps: AttemptDeps,
  claim: Claim,
  actor: Actor,
  compare: () => Promise<Compared<T>>,
): Promise<T | undefined> {
  const { throttle } = deps;
  const { subject, isOwners } = await subjectOf(deps, claim, actor);
  // The network first: one that has nothing left cannot use up accounts.
  const fromIp = isOwners ? [] : [await throttle.spend(actor, "wrong-passwords-from-ip", ofNetwork(actor))];
  const own = subject === undefined ? [] : [await throttle.spend(actor, "wrong-passwords", subject)];
  let compared: Compared<T>;
  try {
    compared = await compare();
  } catch (error) {
    // Too many hashes waited, or whoever asked hung up before his turn: nothing was tried. What cannot be taken back stays.
    await throttle.takeBack([...fromIp, ...own]).catch(() => undefined);
    throw error;
  }
  if (compared.right === undefined) {
    deps.refusals.tell("authn_login_fail", actor, { subjectId: compared.subjectId });
    if (subject !== undefined) await countInARow(deps, subject, actor, compared.subjectId);
  } else if (subject !== undefined) await throttle.forget(keysOf(subject), fromIp);
  return compared.right;
}

/**
 * A new password counts: whoever owns the account may try it, whatever was tried before.
 * @param account as it stands then
 * @returns what his device shows from now on, so that a stranger who goes on does not lock him out again
 */
export async function beginAnew(
  deps: AuthDeps,
  account: Pick<Account, "id" | "emailCanonical" | "sessionEpoch">,
  actor: Actor,
): Promise<{ device_id: string }> {
  const strangers = ofAddress(account.emailCanonical);
  const device = readDeviceToken(deps.keys.device, actor.device);
  const subjects = device?.userId === account.id ? [strangers, ofOwner(strangers, device.id)] : [strangers];
  // The password has been changed already: that this fails changes nothing about it.
  await deps.throttle.forget(subjects.flatMap(keysOf)).catch(() => undefined);
  return { device_id: deviceToken(deps.keys.device, account, actor.device) };
}

async function subjectOf(deps: AttemptDeps, { canonicalEmail, sessionId }: Claim, actor: Actor) {
  if (canonicalEmail === undefined) return { subject: undefined, isOwners: false };
  const account = ofAddress(canonicalEmail);
  const owners = (await knownDevice(deps, canonicalEmail, actor)) ?? sessionId;
  return { subject: owners === undefined ? account : ofOwner(account, owners), isOwners: owners !== undefined };
}

/**
 * The device's id, if it is one of the account's since its last password: whoever kept the cookie of another time is a
 * stranger. Looked up is whose cookie it is and not what was typed, which nobody learns anything about.
 */
async function knownDevice(
  { db, keys }: AttemptDeps,
  canonicalEmail: string,
  actor: Actor,
): Promise<string | undefined> {
  const device = readDeviceToken(keys.device, actor.device);
  if (!device) return undefined;
  const owner = await findCredentials(db, { id: device.userId });
  const isKnown = owner?.emailCanonical === canonicalEmail && owner.sessionEpoch === device.sessionEpoch;
  return isKnown ? device.id : undefined;
}

const ofOwner = (account: string, owners: string): string => `${account}:${owners}`;

const rowOf = (subject: string): string => keyOf("wrong-passwords-in-a-row", subject);
const keysOf = (subject: string): string[] => [keyOf("wrong-passwords", subject), rowOf(subject)];

/** The more wrong ones in a row, the longer nobody may try again. */
async function countInARow(
  { throttle, refusals }: AttemptDeps,
  subject: string,
  actor: Actor,
  subjectId: number | undefined,
): Promise<void> {
  const budget = throttle.budgets["wrong-passwords"];
  const { count, resetMs } = await throttle.counters.add(rowOf(subject), inARow.seconds);
  const seconds = Math.min(blockSeconds(budget, count), Math.ceil(resetMs / 1000));
  if (seconds === 0) return;
  // As many as were let in before may be taken back, of those who hang up: it stays a block.
  await throttle.counters.set(keyOf("wrong-passwords", subject), 2 * budget.limit + 1, seconds);
  refusals.tell("authn_login_lock", actor, { subjectId, details: { wrong_in_a_row: count, seconds } });
}
