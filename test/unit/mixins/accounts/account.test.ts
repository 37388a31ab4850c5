import { describe, expect, test } from "@jest/globals";
import {
  fullView,
  fullViewRule,
  imageUrl,
  publicView,
  publicViewRule,
  type Account,
} from "../../../../mixins/accounts/account.ts";
import { now } from "../../helpers.ts";

const account: Account = {
  id: 42,
  email: "Anna@example.com",
  emailCanonical: "anna@example.com",
  pendingEmail: null,
  role: "CU",
  rolesHeld: ["CU"],
  isActive: true,
  isEmailVerified: false,
  isStaff: false,
  lastLogin: null,
  sessionEpoch: 3,
  version: 5,
  revision: 9,
  profile: { firstName: "Anna", lastName: "Kowalska", phone: "+48512345678", birthDate: "1990-03-16", imagePath: null },
};
const url = "https://id.example.com";
const keysOf = (rule: { props: object }) => Object.keys(rule.props).sort();

describe("fullView", () => {
  test("is the contract's, with the age of today", () => {
    expect(fullView(account, url, now)).toEqual({
      id: 42,
      email: "Anna@example.com",
      pending_email: null,
      role: "CU",
      last_login: null,
      is_active: true,
      is_email_verified: false,
      user_profile: {
        first_name: "Anna",
        last_name: "Kowalska",
        full_name: "Anna Kowalska",
        phone: "+48512345678",
        image_url: "https://id.example.com/media/default-avatar.svg",
        birth_date: "1990-03-16",
        age: 35,
      },
    });
  });

  test("times are ISO 8601 in UTC", () => {
    const view = fullView({ ...account, lastLogin: new Date("2026-01-02T03:04:05+01:00") }, url, now);
    expect(view.last_login).toBe("2026-01-02T02:04:05.000Z");
  });

  test("has exactly the fields that OpenAPI promises", () => {
    const view = fullView(account, url, now);
    expect(Object.keys(view).sort()).toEqual(keysOf(fullViewRule));
    expect(Object.keys(view.user_profile).sort()).toEqual(keysOf(fullViewRule.props.user_profile));
  });
});

describe("publicView", () => {
  test("leaks neither address, phone, birth date nor state", () => {
    expect(publicView(account, url)).toEqual({
      id: 42,
      role: "CU",
      user_profile: {
        first_name: "Anna",
        full_name: "Anna Kowalska",
        image_url: "https://id.example.com/media/default-avatar.svg",
      },
    });
  });

  test("has exactly the fields that OpenAPI promises", () => {
    const view = publicView(account, url);
    expect(Object.keys(view).sort()).toEqual(keysOf(publicViewRule));
    expect(Object.keys(view.user_profile).sort()).toEqual(keysOf(publicViewRule.props.user_profile));
  });
});

describe("imageUrl", () => {
  test("is absolute, with a picture and without", () => {
    expect(imageUrl(url, { imagePath: "42/abc.webp" })).toBe("https://id.example.com/media/42/abc.webp");
    expect(imageUrl(url, { imagePath: null })).toBe("https://id.example.com/media/default-avatar.svg");
  });
});
