import type { EmailAddress } from "../../lib/email-address.ts";
import type { Role } from "../../lib/roles.ts";
import { isUniqueViolation } from "../database/database-errors.ts";
import type { Sql, Transaction } from "../database/database.ts";
import type { Account, Profile } from "./account.ts";

export const accountColumns = `
  u.id, u.email, u.email_canonical as "emailCanonical", u.pending_email as "pendingEmail", u.role,
  u.roles_held as "rolesHeld", u.is_active as "isActive", u.is_email_verified as "isEmailVerified",
  u.is_staff as "isStaff", u.last_login as "lastLogin", u.session_epoch as "sessionEpoch", u.version, u.revision,
  json_build_object('firstName', p.first_name, 'lastName', p.last_name, 'phone', p.phone,
    'birthDate', p.birth_date, 'imagePath', p.image_path) as profile`;
export const accountTables = "users u join user_profiles p on p.user_id = u.id";

export interface NewAccount {
  readonly email: EmailAddress;
  readonly passwordHash: string;
  readonly role: Role;
  readonly isEmailVerified: boolean;
  readonly profile: Omit<Profile, "imagePath">;
}

/** The account and its profile; `undefined` when the address is taken, in whatever spelling. */
export async function insertAccount(tx: Transaction, account: NewAccount): Promise<Account | undefined> {
  const { email, profile } = account;
  // "on conflict" and not a caught error: that would leave the transaction unusable.
  const [user] = await tx.query<{ id: number }>(
    `insert into users (email, email_canonical, password_hash, role, roles_held, is_email_verified, version)
     values ($1, $2, $3, $4, array[$4], $5, 1) on conflict (email_canonical) do nothing returning id`,
    [email.address, email.canonical, account.passwordHash, account.role, account.isEmailVerified],
  );
  if (!user) return undefined;
  await tx.query(
    `insert into user_profiles (user_id, first_name, last_name, phone, birth_date) values ($1, $2, $3, $4, $5)`,
    [user.id, profile.firstName, profile.lastName, profile.phone, profile.birthDate],
  );
  return await findAccount(tx, user.id);
}

export async function findAccount(sql: Sql, id: number): Promise<Account | undefined> {
  const [account] = await sql.query<Account>(`select ${accountColumns} from ${accountTables} where u.id = $1`, [id]);
  return account;
}

/** The account as it stands, locked until the transaction ends: nobody else changes it meanwhile. */
export async function lockAccount(tx: Transaction, id: number): Promise<Account | undefined> {
  // Two statements: after a wait, one that joins would see the newest account beside the profile of before.
  await tx.query("select 1 from users where id = $1 for update", [id]);
  return await findAccount(tx, id);
}

/** Any number that nothing else in this database uses. */
const moderationLock = 4_711_003;

/** One at a time takes a moderator away: who is left is then no matter of luck. Always the last lock that is taken. */
export async function lockModeration(tx: Transaction): Promise<void> {
  await tx.query("select pg_advisory_xact_lock($1)", [moderationLock]);
}

/** Accounts that can moderate right now. */
export async function countModerators(sql: Sql): Promise<number> {
  const [row] = await sql.query<{ count: number }>(
    "select count(*) as count from users where role = 'MO' and is_active and is_email_verified",
  );
  return row?.count ?? 0;
}

export interface Credentials {
  readonly id: number;
  readonly emailCanonical: string;
  readonly passwordHash: string;
  readonly isActive: boolean;
  /** Raised by every change of the password; the same password under a new hash leaves it as it is. */
  readonly sessionEpoch: number;
}

export async function findCredentials(
  sql: Sql,
  by: { canonicalEmail: string } | { id: number },
): Promise<Credentials | undefined> {
  const [where, value] = "id" in by ? ["id", by.id] : ["email_canonical", by.canonicalEmail];
  const [credentials] = await sql.query<Credentials>(
    `select id, email_canonical as "emailCanonical", password_hash as "passwordHash", is_active as "isActive",
       session_epoch as "sessionEpoch"
     from users where ${where} = $1`,
    [value],
  );
  return credentials;
}

/** The one of Django's hashes that are left which takes the longest to compare, of PBKDF2 first. */
export async function findDearestImport(sql: Sql): Promise<string | undefined> {
  const [dearest] = await sql.query<{ hash: string }>(
    `select password_hash as hash from users where password_hash not like 'v1:%' and password_hash not like '!%'
     order by substring(password_hash from '^pbkdf2_sha256\\$([0-9]{1,7})\\$')::int desc nulls last limit 1`,
  );
  return dearest?.hash;
}

/** Signing in is no change of the account: no version, no event. */
export async function recordLogin(tx: Transaction, id: number): Promise<void> {
  tell(tx, id, await tx.query("update users set last_login = now() where id = $1 returning revision", [id]));
}

/** The same password under the current cost and pepper: no change either. Nothing happens when it is another one by now. */
export async function renewHash(tx: Transaction, id: number, from: string, to: string): Promise<void> {
  await tx.query("update users set password_hash = $3 where id = $1 and password_hash = $2", [id, from, to]);
}

/** An address that waits for its confirmation: nothing about the account has changed yet, so there is no event. */
export async function setPendingEmail(tx: Transaction, id: number, address: string | null): Promise<void> {
  const updated = await tx.query<Revision>("update users set pending_email = $2 where id = $1 returning revision", [
    id,
    address,
  ]);
  tell(tx, id, updated);
}

/** Every access token of the account ends, on every node. */
export async function raiseSessionEpoch(tx: Transaction, id: number): Promise<void> {
  const updated = await tx.query<Revision>(
    "update users set session_epoch = session_epoch + 1 where id = $1 returning revision",
    [id],
  );
  tell(tx, id, updated);
  tellAccess(tx, id, updated);
}

type Revision = { readonly revision: number };
/** Views of the account that somebody holds are out of date. */
function tell(tx: Transaction, user_id: number, updated: readonly Revision[]): void {
  for (const { revision } of updated) tx.signal({ name: "account.changed", user_id, revision });
}
/** So is what gateways know about its access tokens. */
function tellAccess(tx: Transaction, user_id: number, updated: readonly Revision[]): void {
  for (const { revision } of updated) tx.signal({ name: "access.changed", user_id, revision });
}

/** Columns that a change may set; `changeAccount` is the only caller. */
export interface AccountColumns {
  readonly email?: EmailAddress;
  readonly pendingEmail?: string | null;
  readonly passwordHash?: string;
  readonly role?: Role;
  readonly isActive?: boolean;
  readonly isEmailVerified?: boolean;
  readonly profile?: Partial<Profile>;
}

/** @returns false when the new address belongs to another account; the transaction must then be given up */
export async function updateAccount(tx: Transaction, id: number, to: AccountColumns): Promise<boolean> {
  try {
    const updated = await tx.query<Revision>(
      `update users set version = version + 1,
         email = coalesce($2, email), email_canonical = coalesce($3, email_canonical),
         pending_email = case when $4 then $5 else pending_email end,
         password_hash = coalesce($6, password_hash),
         role = coalesce($7, role),
         roles_held = case when $7 = any(roles_held) or $7 is null then roles_held else roles_held || $7 end,
         is_active = coalesce($8, is_active), is_email_verified = coalesce($9, is_email_verified)
       where id = $1 returning revision`,
      [
        id,
        to.email?.address,
        to.email?.canonical,
        to.pendingEmail !== undefined,
        to.pendingEmail,
        to.passwordHash,
        to.role,
        to.isActive,
        to.isEmailVerified,
      ],
    );
    tell(tx, id, updated);
    const access = [to.role, to.isActive, to.isEmailVerified];
    if (access.some((value) => value !== undefined)) tellAccess(tx, id, updated);
  } catch (error) {
    if (isUniqueViolation(error, "users_email_unique")) return false;
    throw error;
  }
  if (to.profile) await updateProfile(tx, id, to.profile);
  return true;
}

async function updateProfile(tx: Transaction, id: number, to: Partial<Profile>): Promise<void> {
  await tx.query(
    `update user_profiles set
       first_name = coalesce($2, first_name), last_name = coalesce($3, last_name), phone = coalesce($4, phone),
       birth_date = coalesce($5, birth_date), image_path = case when $6 then $7 else image_path end
     where user_id = $1`,
    [id, to.firstName, to.lastName, to.phone, to.birthDate, to.imagePath !== undefined, to.imagePath],
  );
}
