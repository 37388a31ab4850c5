import { describe, expect, test } from "@jest/globals";
import type { Account } from "../../../../mixins/accounts/account.ts";
import { changeDetails } from "../../../../mixins/accounts/changed-fields.ts";

const before: Account = {
  id: 7,
  email: "anna@example.com",
  emailCanonical: "anna@example.com",
  pendingEmail: null,
  role: "CU",
  rolesHeld: ["CU"],
  isActive: true,
  isEmailVerified: false,
  isStaff: false,
  lastLogin: null,
  sessionEpoch: 0,
  version: 1,
  revision: 1,
  profile: { firstName: "Anna", lastName: "K", phone: "+48512345678", birthDate: "1990-05-17", imagePath: null },
};

describe("changeDetails", () => {
  test("names of what changed, and nothing of what was typed", () => {
    const profile = {
      firstName: "Ewa",
      lastName: "X",
      phone: "+48500000000",
      birthDate: "1991-01-01",
      imagePath: "a.jpg",
    };
    const after = { ...before, email: "ewa@example.com", pendingEmail: "eva@example.com", profile };
    expect(changeDetails(before, after)).toEqual({
      fields: [
        "email",
        "pending_email",
        "user_profile.first_name",
        "user_profile.last_name",
        "user_profile.phone",
        "user_profile.birth_date",
        "user_profile.image_url",
      ],
    });
  });

  test("of the account's standing also from what to what", () => {
    expect(changeDetails(before, { ...before, role: "MO", isActive: false, isEmailVerified: true })).toEqual({
      fields: ["role", "is_active", "is_email_verified"],
      role: { from: "CU", to: "MO" },
      is_active: { from: true, to: false },
      is_email_verified: { from: false, to: true },
    });
  });

  test("nothing changed, or only what the service counts by itself: no field", () => {
    expect(changeDetails(before, { ...before, version: 9, revision: 9, sessionEpoch: 9 })).toEqual({ fields: [] });
  });
});
