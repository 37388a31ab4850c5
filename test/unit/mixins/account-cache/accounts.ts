import type { Account } from "../../../../mixins/accounts/account.ts";

export const account = (changes: Partial<Account> = {}): Account => ({
  id: 7,
  email: "anna@example.com",
  emailCanonical: "anna@example.com",
  pendingEmail: null,
  role: "CU",
  rolesHeld: ["CU"],
  isActive: true,
  isEmailVerified: true,
  isStaff: false,
  lastLogin: new Date("2026-03-14T08:30:00.123Z"),
  sessionEpoch: 0,
  version: 2,
  revision: 3,
  profile: {
    firstName: "Zoë",
    lastName: "Kowalska",
    phone: "+48512345678",
    birthDate: "1990-05-17",
    imagePath: "avatars/7.jpg",
  },
  ...changes,
});
