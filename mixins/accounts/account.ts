import { ageOn } from "../../lib/birth-date.ts";
import type { Role } from "../../lib/roles.ts";
import { roles } from "../../lib/roles.ts";
import { rule, type InferRule } from "../../lib/schema.ts";

export interface Profile {
  readonly firstName: string;
  readonly lastName: string;
  /** E.164 */
  readonly phone: string;
  /** `YYYY-MM-DD` */
  readonly birthDate: string;
  /** Below `/media/`; null means the default picture. */
  readonly imagePath: string | null;
}

/** An account without its password hash, which only `auth` reads. */
export interface Account {
  readonly id: number;
  readonly email: string;
  readonly emailCanonical: string;
  readonly pendingEmail: string | null;
  readonly role: Role;
  readonly rolesHeld: readonly Role[];
  readonly isActive: boolean;
  readonly isEmailVerified: boolean;
  readonly isStaff: boolean;
  readonly lastLogin: Date | null;
  readonly sessionEpoch: number;
  readonly version: number;
  /** Counts every update of the row; `version` counts changes alone. */
  readonly revision: number;
  readonly profile: Profile;
}

export const userIdRule = rule({ type: "number", integer: true, min: 1, max: Number.MAX_SAFE_INTEGER, example: 1 });
const nullableText = { type: "string", nullable: true } as const;

/** What the account itself and moderators see. */
export const fullViewRule = rule({
  type: "object",
  strict: true,
  props: {
    id: { type: "number", integer: true, example: 42 },
    email: { type: "string", format: "email", example: "anna@example.com" },
    pending_email: { ...nullableText, description: "The new address while it waits for confirmation." },
    role: { type: "enum", values: roles },
    last_login: { ...nullableText, format: "date-time" },
    is_active: { type: "boolean" },
    is_email_verified: { type: "boolean" },
    user_profile: {
      type: "object",
      strict: true,
      props: {
        first_name: { type: "string" },
        last_name: { type: "string" },
        full_name: { type: "string" },
        phone: { type: "string", description: "E.164" },
        image_url: { type: "string", format: "uri" },
        birth_date: { type: "string", format: "date" },
        age: { type: "number", integer: true, description: "Whole years." },
      },
    },
  },
});
export type FullView = InferRule<typeof fullViewRule>;

/** What everybody else sees: the original leaked address, phone and birth date here. */
export const publicViewRule = rule({
  type: "object",
  strict: true,
  props: {
    id: { type: "number", integer: true },
    role: { type: "enum", values: roles },
    user_profile: {
      type: "object",
      strict: true,
      props: {
        first_name: { type: "string" },
        full_name: { type: "string" },
        image_url: { type: "string", format: "uri" },
      },
    },
  },
});
export type PublicView = InferRule<typeof publicViewRule>;

export const fullName = (profile: Pick<Profile, "firstName" | "lastName">): string =>
  `${profile.firstName} ${profile.lastName}`;

/** Absolute, never null, at most 200 characters: `review` stores no more. */
export const imageUrl = (publicUrl: string, profile: Pick<Profile, "imagePath">): string =>
  `${publicUrl}/media/${profile.imagePath ?? "default-avatar.svg"}`;

export function fullView(account: Account, publicUrl: string, now: number): FullView {
  const { profile } = account;
  return {
    id: account.id,
    email: account.email,
    pending_email: account.pendingEmail,
    role: account.role,
    last_login: account.lastLogin?.toISOString() ?? null,
    is_active: account.isActive,
    is_email_verified: account.isEmailVerified,
    user_profile: {
      first_name: profile.firstName,
      last_name: profile.lastName,
      full_name: fullName(profile),
      phone: profile.phone,
      image_url: imageUrl(publicUrl, profile),
      birth_date: profile.birthDate,
      age: ageOn(profile.birthDate, now),
    },
  };
}

export function publicView({ id, role, profile }: Account, publicUrl: string): PublicView {
  const image_url = imageUrl(publicUrl, profile);
  return { id, role, user_profile: { first_name: profile.firstName, full_name: fullName(profile), image_url } };
}
