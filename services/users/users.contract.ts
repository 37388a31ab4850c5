import { contract } from "../../lib/contract.ts";
import { roles } from "../../lib/roles.ts";
import { fullViewRule, publicViewRule } from "../../mixins/accounts/account.ts";
import { emailRule, partialProfileRule, profileRule } from "../../mixins/accounts/profile-input.ts";

const moderators = { roles: ["MO"], verified: true } as const;
const userId = { type: "number", integer: true, min: 1, max: Number.MAX_SAFE_INTEGER, example: 1 } as const;
const optional = { optional: true } as const;
/** What moderators alone decide. */
const standing = {
  role: { type: "enum", values: roles, ...optional },
  is_active: { type: "boolean", ...optional },
  is_email_verified: { type: "boolean", ...optional },
} as const;
const changeErrors = ["not_found", "last_moderator"] as const;

export const usersContract = contract("users", {
  current: {
    summary: "The signed-in account.",
    visibility: "published",
    auth: "required",
    params: {},
    returns: fullViewRule,
  },
  view: {
    summary: "An account: all of it for moderators and for itself, the public part for everybody else.",
    visibility: "published",
    auth: "none",
    params: { id: userId },
    returns: { type: "either", of: [fullViewRule, publicViewRule] },
    errors: ["not_found"],
  },
  list: {
    summary: "Accounts by id, or those found by the beginning of e-mail, name or phone. Moderators are left out.",
    visibility: "published",
    auth: moderators,
    unknown: "ignore",
    params: {
      role: { type: "enum", values: ["cu", "co", "rm"], ...optional },
      limit: { type: "number", integer: true, min: 1, max: 1000, default: 1000 },
      after: { type: "string", max: 2048, ...optional, description: "From the `Link` header of the page before." },
      search: { type: "string", min: 3, max: 254, ...optional },
      is_active: { type: "boolean", ...optional },
      is_email_verified: { type: "boolean", ...optional },
    },
    returns: {
      type: "object",
      strict: true,
      props: { users: { type: "array", items: fullViewRule }, next: { type: "string", nullable: true } },
    },
    errors: ["invalid_cursor"],
  },
  replace: {
    summary: "A moderator changes an account, sending address and profile whole.",
    visibility: "published",
    auth: moderators,
    unknown: "ignore",
    params: { id: userId, email: emailRule, user_profile: profileRule, ...standing },
    returns: fullViewRule,
    errors: changeErrors,
  },
  update: {
    summary: "A moderator changes any part of an account.",
    visibility: "published",
    auth: moderators,
    unknown: "ignore",
    params: {
      id: userId,
      email: { ...emailRule, ...optional },
      user_profile: { ...partialProfileRule, ...optional },
      ...standing,
    },
    returns: fullViewRule,
    errors: changeErrors,
  },
});
