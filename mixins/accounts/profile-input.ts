import { ageOn, birthDateProblem } from "../../lib/birth-date.ts";
import type { Config } from "../../lib/config.ts";
import { readEmailAddress, type EmailAddress } from "../../lib/email-address.ts";
import { invalidFields } from "../../lib/errors.ts";
import { readPersonName } from "../../lib/person-name.ts";
import { readPhoneNumber } from "../../lib/phone-number.ts";
import type { Role } from "../../lib/roles.ts";
import { rule, type Infer } from "../../lib/schema.ts";
import type { Profile } from "./account.ts";

const name = { type: "string", max: 254 } as const;

/** Profile fields as clients send them; what the validator cannot say is checked by `readProfile`. */
export const profileProps = {
  first_name: { ...name, example: "Anna" },
  last_name: { ...name, example: "Kowalska" },
  phone: { type: "string", max: 64, description: "With country code; stored as E.164.", example: "+48512345678" },
  birth_date: { type: "string", max: 32, format: "date", example: "1990-05-17" },
} as const;
const optional = { optional: true } as const;
/** The same, any part of it. */
export const partialProfileRule = rule({
  type: "object",
  strict: "remove",
  props: {
    first_name: { ...profileProps.first_name, ...optional },
    last_name: { ...profileProps.last_name, ...optional },
    phone: { ...profileProps.phone, ...optional },
    birth_date: { ...profileProps.birth_date, ...optional },
  },
});
export const profileRule = rule({ type: "object", strict: "remove", props: profileProps });
export const emailRule = rule({ type: "string", max: 1000, format: "email", example: "anna@example.com" });

export type SentProfile = Partial<Infer<typeof profileProps>>;
type StoredProfile = Omit<Profile, "imagePath">;
export type AgeRules = Pick<Config, "minAge">;

export function readEmail(typed: string): EmailAddress {
  const email = readEmailAddress(typed);
  if (!email) throw invalidFields({ email: "Enter a valid email address." });
  return email;
}

export function tooYoung(config: AgeRules, role: Role, birthDate: string, now: number): string | undefined {
  const minAge = config.minAge[role];
  return ageOn(birthDate, now) < minAge ? `You must be at least ${minAge} years old.` : undefined;
}

/** Whose profile it is to be. */
interface ProfileOwner {
  readonly role: Role;
  /** As it stands: sent back unchanged it is not questioned, whatever the rules have become since. */
  readonly birthDate?: string;
  readonly now: number;
}

/**
 * The fields that were sent, in the form in which they are stored.
 * @throws ServiceError `invalid_input` naming every field that is wrong
 */
export function readProfile(config: AgeRules, sent: Required<SentProfile>, of: ProfileOwner): StoredProfile;
export function readProfile(config: AgeRules, sent: SentProfile, of: ProfileOwner): Partial<StoredProfile>;
export function readProfile(config: AgeRules, sent: SentProfile, of: ProfileOwner): Partial<StoredProfile> {
  const problems: Record<string, string> = {};
  const read = (field: keyof SentProfile, reader: (text: string) => string | undefined, problem: string) => {
    const text = sent[field];
    const value = text === undefined ? undefined : reader(text);
    if (text !== undefined && value === undefined) {
      problems[`user_profile.${field}`] = text.trim() === "" ? "This field may not be blank." : problem;
    }
    return value;
  };
  const profile = {
    firstName: read("first_name", readPersonName, "Enter a name without control characters."),
    lastName: read("last_name", readPersonName, "Enter a name without control characters."),
    phone: read("phone", readPhoneNumber, "Enter a valid phone number."),
    birthDate: sent.birth_date,
  };
  if (sent.birth_date !== undefined && sent.birth_date !== of.birthDate) {
    const problem = birthDateProblem(sent.birth_date, of.now) ?? tooYoung(config, of.role, sent.birth_date, of.now);
    if (problem !== undefined) problems["user_profile.birth_date"] = problem;
  }
  if (Object.keys(problems).length > 0) throw invalidFields(problems);
  return Object.fromEntries(Object.entries(profile).filter(([, value]) => value !== undefined));
}
