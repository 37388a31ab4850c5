import { contract } from "../../lib/contract.ts";
import { healthRule } from "../../lib/health.ts";
import { roles } from "../../lib/roles.ts";
import { rule, type InferRule } from "../../lib/schema.ts";
import { fullViewRule } from "../../mixins/accounts/account.ts";
import { emailRule, partialProfileRule, profileRule } from "../../mixins/accounts/profile-input.ts";

/** No longer than a request's headers; what is no token of ours is then told as such. */
const token = { type: "string", max: 16_384 } as const;
/** Longer ones are refused before anything is computed; the policy (passwords.ts) counts code points. */
const passwordRule = rule({ type: "string", max: 512, format: "password", example: "correct horse battery" });
const expiresSession = rule({
  type: "boolean",
  default: false,
  description: "Cookies end with the browser's session, also after every refresh.",
});

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
  },
});
export type SessionTokens = InferRule<typeof sessionTokensRule>;

const currentPassword = rule({ ...passwordRule, optional: true, description: "Needed when the address changes." });
const nothing = rule({ type: "object", strict: true, props: {} });
const registration = { email: emailRule, password: passwordRule, user_profile: profileRule };
const link = {
  user_reference: { type: "string", max: 300, description: "base64url of the account's id", example: "MQ" },
  token: { type: "string", max: 300, example: "A".repeat(64) },
} as const;

export const authContract = contract("auth", {
  register: {
    summary: "Creates an account, mails its verification link and signs it in.",
    visibility: "published",
    auth: "none",
    unknown: "ignore",
    params: { role: { type: "enum", values: ["CU", "CO", "RM"] }, expires_session: expiresSession, ...registration },
    returns: { type: "object", strict: true, props: { user: fullViewRule, tokens: sessionTokensRule } },
  },
  createModerator: {
    summary: "Creates a moderator, whose address counts as verified.",
    visibility: "published",
    auth: { roles: ["MO"], verified: true },
    unknown: "ignore",
    params: registration,
    returns: fullViewRule,
  },
  login: {
    summary: "Signs in with e-mail and password.",
    visibility: "published",
    auth: "none",
    unknown: "ignore",
    params: { email: emailRule, password: passwordRule, expires_session: expiresSession },
    returns: sessionTokensRule,
    errors: ["invalid_credentials"],
  },
  refresh: {
    summary: "Exchanges a refresh token for a new pair; the old one is used up.",
    visibility: "published",
    auth: "none",
    params: { refresh_token: token },
    returns: sessionTokensRule,
    errors: ["invalid_token"],
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
  },
  confirmEmail: {
    summary: "Makes a new address count, or takes its change back, by a mailed link.",
    visibility: "published",
    auth: "none",
    params: {
      purpose: { type: "enum", values: ["confirm-email", "undo-email"] },
      ...link,
      /** Needed to take a change back: the password was known to whoever asked for it. */
      new_password: { ...passwordRule, optional: true },
    },
    returns: nothing,
    errors: ["invalid_link", "not_found"],
  },
  sendVerification: {
    summary: "Mails a new verification link; older ones no longer work.",
    visibility: "published",
    auth: "required",
    params: {},
    returns: nothing,
    errors: ["email_already_verified"],
  },
  verifyEmail: {
    summary: "Verifies the address that a mailed link was made for.",
    visibility: "published",
    auth: "none",
    params: link,
    returns: nothing,
    errors: ["invalid_link", "not_found"],
  },
  verifyEmailByForm: {
    summary: "The same for a browser's form: with the account's session, its password, or a new password.",
    visibility: "published",
    auth: "none",
    params: {
      ...link,
      password: { ...passwordRule, optional: true },
      new_password: { ...passwordRule, optional: true },
    },
    returns: nothing,
    errors: ["invalid_link", "not_found"],
  },
  health: {
    summary: "Whether the database answers.",
    visibility: "public",
    auth: "internal",
    params: {},
    returns: healthRule,
  },
  accessState: {
    summary: "What an access token's account and session allow right now.",
    visibility: "public",
    auth: "internal",
    params: { user_id: { type: "number", integer: true }, session_id: { type: "string", format: "uuid", length: 36 } },
    returns: {
      type: "object",
      nullable: true,
      strict: true,
      props: {
        role: { type: "enum", values: roles },
        is_active: { type: "boolean" },
        is_email_verified: { type: "boolean" },
        is_staff: { type: "boolean" },
        session_epoch: { type: "number", integer: true },
        session_ended: { type: "boolean" },
      },
    },
  },
});
