import { contract } from "../../lib/contract.ts";
import { healthRule } from "../../lib/health.ts";
import { roles } from "../../lib/roles.ts";
import { rule, type InferRule } from "../../lib/schema.ts";
import { fullViewRule, userIdRule } from "../../mixins/accounts/account.ts";
import { emailRule, partialProfileRule, profileRule } from "../../mixins/accounts/profile-input.ts";

/** No longer than a request's headers; what is no token of ours is then told as such. */
const token = { type: "string", max: 16_384 } as const;
/** Longer ones are refused before anything is computed; the policy (passwords.ts) counts code points. */
const passwordRule = rule({ type: "string", max: 512, format: "password", example: "correct horse battery" });
const newPasswordRule = rule({ ...passwordRule, example: "seven bicycles in the rain" });
const expiresSession = rule({
  type: "boolean",
  default: false,
  description: "Cookies end with the browser's session, also after every refresh.",
});

/** Of whoever has shown that the account is his: no secret that opens anything (device-token.ts). */
const deviceId = { ...token, optional: true } as const;
const deviceRule = rule({ type: "object", strict: true, props: { device_id: deviceId } });
export type DeviceOnly = InferRule<typeof deviceRule>;

/** Secrets that the gateway puts into cookies; they are in no answer's body. */
export const sessionTokensRule = rule({
  type: "object",
  strict: true,
  props: {
    access_token: token,
    refresh_token: token,
    /** Seconds; null for cookies that end with the browser's session. */
    access_max_age: { type: "number", integer: true, nullable: true },
    refresh_max_age: { type: "number", integer: true, nullable: true },
    device_id: deviceId,
  },
});
export type SessionTokens = InferRule<typeof sessionTokensRule>;

const currentPassword = rule({ ...passwordRule, optional: true, description: "Needed when the address changes." });
const nothing = rule({ type: "object", strict: true, props: {} });
const registration = {
  email: emailRule,
  password: passwordRule,
  user_profile: profileRule,
  /** Chosen by the client, which may send the same registration again with it; from a header, never from the body. */
  idempotency_key: { type: "string", min: 1, max: 255, nullable: true, optional: true },
} as const;
const sessionId = {
  type: "string",
  length: 36,
  // Exactly: of anything else PostgreSQL makes an error.
  pattern: "^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$",
  format: "uuid",
  example: "0b8f2f6e-3c1d-4f5a-9b7c-1d2e3f4a5b6c",
} as const;
const link = {
  user_reference: { type: "string", max: 300, description: "base64url of the account's id", example: "MQ" },
  token: { type: "string", max: 300, example: "A".repeat(64) },
} as const;

const sessionRule = rule({
  type: "object",
  strict: true,
  props: {
    id: sessionId,
    created_at: { type: "string", format: "date-time" },
    last_used_at: { type: "string", format: "date-time", description: "Signed in or refreshed." },
    ip: { type: "string" },
    user_agent: { type: "string" },
    current: { type: "boolean", description: "The session that asks." },
  },
});
const count = { type: "number", integer: true } as const;
const tokenOwner = { user_id: count, session_id: { type: "string", format: "uuid", length: 36 } } as const;
const accountRevision = { user_id: count, revision: count } as const;
const accessProps = {
  role: { type: "enum", values: roles },
  is_active: { type: "boolean" },
  is_email_verified: { type: "boolean" },
  is_staff: { type: "boolean" },
  session_epoch: count,
  revision: count,
  session_ended: { type: "boolean" },
} as const;

export const authContract = contract("auth", {
  register: {
    summary: "Creates an account, mails its verification link and signs it in.",
    visibility: "published",
    auth: "none",
    unknown: "ignore",
    params: { role: { type: "enum", values: ["CU", "CO", "RM"] }, expires_session: expiresSession, ...registration },
    returns: { type: "object", strict: true, props: { user: fullViewRule, tokens: sessionTokensRule } },
    errors: ["idempotency_key_reused", "too_many_requests"],
  },
  createModerator: {
    summary: "Creates a moderator, whose address counts as verified.",
    visibility: "published",
    auth: { roles: ["MO"], verified: true },
    unknown: "ignore",
    params: registration,
    returns: fullViewRule,
    errors: ["idempotency_key_reused"],
  },
  login: {
    summary: "Signs in with e-mail and password.",
    visibility: "published",
    auth: "none",
    unknown: "ignore",
    params: { email: emailRule, password: passwordRule, expires_session: expiresSession },
    returns: sessionTokensRule,
    errors: ["invalid_credentials", "too_many_requests"],
  },
  refresh: {
    summary: "Exchanges a refresh token for a new pair; the old one is used up.",
    visibility: "published",
    auth: "none",
    params: { refresh_token: token },
    returns: sessionTokensRule,
    errors: ["invalid_token", "too_many_requests"],
  },
  logout: {
    summary: "Ends the session on the server.",
    visibility: "published",
    auth: "none",
    params: { refresh_token: { ...token, optional: true } },
    returns: nothing,
  },
  replaceOwn: {
    summary: "Changes the signed-in account, sending address and profile whole.",
    visibility: "published",
    auth: "required",
    unknown: "ignore",
    params: { email: emailRule, current_password: currentPassword, user_profile: profileRule },
    returns: fullViewRule,
    errors: ["too_many_requests"],
  },
  updateOwn: {
    summary: "Changes any part of the signed-in account. A new address waits for its confirmation.",
    visibility: "published",
    auth: "required",
    unknown: "ignore",
    params: {
      email: { ...emailRule, optional: true },
      current_password: currentPassword,
      user_profile: { ...partialProfileRule, optional: true },
    },
    returns: fullViewRule,
    errors: ["too_many_requests"],
  },
  confirmEmail: {
    summary: "Makes a new address count, by the link mailed to it: with the account's session, or its password.",
    visibility: "published",
    auth: "none",
    params: { ...link, password: { ...passwordRule, optional: true } },
    returns: nothing,
    errors: ["invalid_link", "not_found", "too_many_requests"],
  },
  undoEmail: {
    summary: "Takes a change of address back, by the link mailed to the old one, and sets a new password.",
    visibility: "published",
    auth: "none",
    params: { ...link, new_password: newPasswordRule },
    returns: deviceRule,
    errors: ["invalid_link", "not_found", "too_many_requests"],
  },
  changePassword: {
    summary: "Changes the password: every other session and every mailed link ends, and new cookies are set.",
    visibility: "published",
    auth: "required",
    unknown: "ignore",
    params: { current_password: passwordRule, new_password: newPasswordRule },
    returns: sessionTokensRule,
    errors: ["too_many_requests"],
  },
  requestPasswordReset: {
    summary: "Mails a link to set a new password, if the address is known; the answer does not tell.",
    visibility: "published",
    auth: "none",
    unknown: "ignore",
    params: { email: emailRule },
    returns: nothing,
    errors: ["too_many_requests"],
  },
  resetPassword: {
    summary: "Sets a new password by a mailed link; all sessions end, and nobody is signed in.",
    visibility: "published",
    auth: "none",
    unknown: "ignore",
    params: { token: link.token, new_password: newPasswordRule },
    returns: deviceRule,
    errors: ["invalid_link", "too_many_requests"],
  },
  listSessions: {
    summary: "Where the account is signed in, the session used last first.",
    visibility: "published",
    auth: "required",
    params: {},
    returns: { type: "array", items: sessionRule },
  },
  endSession: {
    summary: "Ends one of the account's own sessions.",
    visibility: "published",
    auth: "required",
    params: { id: sessionId },
    returns: { type: "object", strict: true, props: { current: { type: "boolean" } } },
    errors: ["not_found"],
  },
  endOtherSessions: {
    summary: "Ends all of the account's sessions but this one.",
    visibility: "published",
    auth: "required",
    params: {},
    returns: nothing,
  },
  endSessionsOf: {
    summary: "A moderator ends all sessions of an account.",
    visibility: "published",
    auth: { roles: ["MO"], verified: true },
    params: { id: userIdRule },
    returns: nothing,
    errors: ["not_found"],
  },
  sendVerification: {
    summary: "Mails a new verification link; older ones no longer work.",
    visibility: "published",
    auth: "required",
    params: {},
    returns: nothing,
    errors: ["email_already_verified", "too_many_requests"],
  },
  verifyEmail: {
    summary: "Verifies the address that a mailed link was made for.",
    visibility: "published",
    auth: "none",
    params: link,
    returns: nothing,
    errors: ["invalid_link", "not_found", "too_many_requests"],
  },
  verifyEmailByForm: {
    summary: "The same for a browser's form: with the account's session, its password, or a new password.",
    visibility: "published",
    auth: "none",
    params: {
      ...link,
      password: { ...passwordRule, optional: true },
      new_password: { ...newPasswordRule, optional: true },
    },
    returns: deviceRule,
    errors: ["invalid_link", "not_found", "too_many_requests"],
  },
  health: {
    summary: "Whether the database answers.",
    visibility: "public",
    auth: "internal",
    params: {},
    returns: healthRule,
  },
  accessStates: {
    summary: "What the accounts and sessions of access tokens allow right now; those without an account are left out.",
    visibility: "public",
    auth: "internal",
    params: { of: { type: "array", max: 500, items: { type: "object", strict: true, props: tokenOwner } } },
    returns: { type: "array", items: { type: "object", strict: true, props: { ...tokenOwner, ...accessProps } } },
  },
  accessChanges: {
    summary: "What has changed for access tokens within the last seconds; null when that is too much to be listed.",
    visibility: "public",
    auth: "internal",
    params: { seconds: { type: "number", integer: true, min: 1, max: 3600 } },
    returns: {
      type: "object",
      nullable: true,
      strict: true,
      props: {
        accounts: { type: "array", items: { type: "object", strict: true, props: accountRevision } },
        session_ids: { type: "array", items: { type: "string" } },
      },
    },
  },
});
