import { roles } from "../../lib/roles.ts";
import type { Account, Profile } from "../accounts/account.ts";

/** Counts the shapes below: nodes of two releases that share a cache do not read each other's. */
export const jsonVersion = 1;

type Check = (value: unknown) => boolean;
const text: Check = (value) => typeof value === "string";
const number: Check = (value) => Number.isSafeInteger(value);
const flag: Check = (value) => typeof value === "boolean";
const role: Check = (value) => roles.some((known) => known === value);
const time: Check = (value) => typeof value === "string" && !Number.isNaN(Date.parse(value));
const orNull =
  (check: Check): Check =>
  (value) =>
    value === null || check(value);
const hasAll =
  (fields: Readonly<Record<string, Check>>): Check =>
  (value) =>
    typeof value === "object" &&
    value !== null &&
    Object.entries(fields).every(([name, check]) => check((value as Record<string, unknown>)[name]));

const isProfile = hasAll({
  firstName: text,
  lastName: text,
  phone: text,
  birthDate: text,
  imagePath: orNull(text),
} satisfies Record<keyof Profile, Check>);

const isAccount = hasAll({
  id: number,
  email: text,
  emailCanonical: text,
  pendingEmail: orNull(text),
  role,
  rolesHeld: (value) => Array.isArray(value) && value.every(role),
  isActive: flag,
  isEmailVerified: flag,
  isStaff: flag,
  lastLogin: orNull(time),
  sessionEpoch: number,
  version: number,
  revision: number,
  profile: isProfile,
} satisfies Record<keyof Account, Check>);

type AsJson = Omit<Account, "lastLogin"> & { readonly lastLogin: string | null };

export const writeAccount = (account: Account): string => JSON.stringify(account);

/** @returns undefined for whatever is not a whole account: others may write into a shared cache as well */
export function readAccount(json: string): Account | undefined {
  try {
    const value: unknown = JSON.parse(json);
    if (!isAccount(value)) return undefined;
    const { lastLogin, ...account } = value as AsJson;
    return { ...account, lastLogin: lastLogin === null ? null : new Date(lastLogin) };
  } catch {
    return undefined;
  }
}
