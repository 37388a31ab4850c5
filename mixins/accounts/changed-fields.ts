import type { Account } from "./account.ts";

/** Every field that a change may touch, by the name that the full view gives it. */
const fields: Readonly<Record<string, (account: Account) => unknown>> = {
  email: ({ email }) => email,
  pending_email: ({ pendingEmail }) => pendingEmail,
  role: ({ role }) => role,
  is_active: ({ isActive }) => isActive,
  is_email_verified: ({ isEmailVerified }) => isEmailVerified,
  "user_profile.first_name": ({ profile }) => profile.firstName,
  "user_profile.last_name": ({ profile }) => profile.lastName,
  "user_profile.phone": ({ profile }) => profile.phone,
  "user_profile.birth_date": ({ profile }) => profile.birthDate,
  "user_profile.image_url": ({ profile }) => profile.imagePath,
};
/** Of these what they were and are is no personal data, and matters most. */
const told = new Set(["role", "is_active", "is_email_verified"]);

/** For the audit log: names of the fields that changed, and of the account's standing from what to what. */
export function changeDetails(before: Account, after: Account): Readonly<Record<string, unknown>> {
  const changed = Object.entries(fields).filter(([, read]) => read(before) !== read(after));
  const standing = changed.filter(([name]) => told.has(name));
  return {
    fields: changed.map(([name]) => name),
    ...Object.fromEntries(standing.map(([name, read]) => [name, { from: read(before), to: read(after) }])),
  };
}
