import { createHash } from "node:crypto";
import { birthDateProblem } from "../../../lib/birth-date.ts";
import { readEmailAddress } from "../../../lib/email-address.ts";
import { readPersonName } from "../../../lib/person-name.ts";
import { readPhoneNumber } from "../../../lib/phone-number.ts";
import { roles, type Role } from "../../../lib/roles.ts";
import { isDjangoHash } from "../../../services/auth/django-hashes.ts";
import type { Remark, Skip } from "./findings.ts";
import type { SourceUser } from "./source.repository.ts";

/** An account as it is written here. */
export interface ImportedUser {
  readonly id: number;
  readonly email: string;
  readonly email_canonical: string;
  readonly password_hash: string;
  readonly role: Role;
  readonly is_active: boolean;
  readonly is_email_verified: boolean;
  readonly is_staff: boolean;
  readonly last_login: string | null;
  readonly created_at: string;
  readonly first_name: string;
  readonly last_name: string;
  readonly phone: string;
  readonly birth_date: string;
  /** SHA-256 in hexadecimal digits, see migrations/0005-imports.sql. */
  readonly source_hash: string;
  readonly source_password_hash: string;
  readonly remarks: readonly Remark[];
}

/**
 * What an account of the original becomes, or why it cannot be one of ours. Left out is only who could not sign in, or
 * could not be shown, here: a name, phone or birth date that our rules refuse today must not cost anybody the account.
 */
export function readSourceUser(
  source: SourceUser,
  now: number,
): { readonly user: ImportedUser } | { readonly skip: Skip } {
  const role = roles.find((known) => known === source.role);
  const email = readEmailAddress(source.email);
  const { first_name, last_name, phone, birth_date } = source;
  if (!source.has_profile) return { skip: "no-profile" };
  if (!role) return { skip: "no-role" };
  if (!email) return { skip: "address-refused" };
  if (first_name === null || last_name === null || phone === null || birth_date === null)
    return { skip: "profile-incomplete" };
  // BC and infinity are dates to PostgreSQL alone.
  if (!/^[0-9]{4}-[0-9]{2}-[0-9]{2}$/.test(birth_date)) return { skip: "profile-incomplete" };

  const remarks: Remark[] = [];
  const names = [readPersonName(first_name), readPersonName(last_name)];
  const phoneNumber = readPhoneNumber(phone);
  if (names.includes(undefined)) remarks.push("name");
  if (phoneNumber === undefined) remarks.push("phone");
  if (birthDateProblem(birth_date, now) !== undefined) remarks.push("birth-date");
  if (!isDjangoHash(source.password)) remarks.push("password");
  if (/\/users\/avatars\/[^/]+\.jpeg$/.test(source.image_url ?? "")) remarks.push("picture");
  if (source.is_staff) remarks.push("staff");

  const { id, password, is_active, is_email_verified, is_staff, last_login, date_joined } = source;
  const user = {
    ...{ id, role, is_active, is_email_verified, is_staff, last_login, birth_date },
    email: email.address,
    email_canonical: email.canonical,
    password_hash: password,
    created_at: date_joined,
    first_name: names[0] ?? withoutControls(first_name),
    last_name: names[1] ?? withoutControls(last_name),
    phone: phoneNumber ?? withoutControls(phone),
    source_hash: sha256(JSON.stringify(source)),
    source_password_hash: sha256(password),
    remarks,
  };
  return { user };
}

/** A line break in a name would reach the head of a mail. */
const withoutControls = (text: string): string => text.replace(/\p{Cc}/gu, " ").trim();

const sha256 = (text: string): string => createHash("sha256").update(text).digest("hex");
