import { maxIp, maxRequestId, maxUserAgent } from "../../lib/audit.ts";
import { contract } from "../../lib/contract.ts";
import { healthRule } from "../../lib/health.ts";
import { roles } from "../../lib/roles.ts";
import { rule } from "../../lib/schema.ts";
import { auditedEventNames, outcomes } from "../../lib/security-log.ts";
import { fullViewRule, publicViewRule, userIdRule } from "../../mixins/accounts/account.ts";
import { emailRule, partialProfileRule, profileRule } from "../../mixins/accounts/profile-input.ts";

const moderators = { roles: ["MO"], verified: true } as const;
const optional = { optional: true } as const;
/** What moderators alone decide. */
const standing = {
  role: { type: "enum", values: roles, ...optional },
  is_active: { type: "boolean", ...optional },
  is_email_verified: { type: "boolean", ...optional },
} as const;
/** A file's name: `<user id>-<hash of its content>-<random>.jpg`. */
export const pictureNameForm = "^[1-9][0-9]{0,15}-[0-9a-f]{32}-[0-9a-f]{8}\\.jpg$";
export const maxPictureBytes = 5 * 1024 * 1024;

const time = { type: "string", max: 32, format: "date-time", example: "2026-12-31T18:00:00Z" } as const;
const event = { type: "enum", values: auditedEventNames } as const;
const outcome = { type: "enum", values: outcomes } as const;
/** What the database does not add by itself. */
const auditProps = {
  event,
  outcome,
  actor_id: { type: "number", integer: true, nullable: true, description: "Who did it; null for nobody signed in." },
  subject_id: { type: "number", integer: true, nullable: true, description: "To whom." },
  ip: { type: "string", max: maxIp },
  user_agent: { type: "string", max: maxUserAgent },
  request_id: { type: "string", max: maxRequestId },
} as const;
export const auditRowRule = rule({
  type: "object",
  strict: true,
  props: {
    id: { type: "number", integer: true },
    occurred_at: { type: "string", format: "date-time" },
    ...auditProps,
    details: { type: "object", strict: "remove", props: {}, description: "What else there is to say, by event." },
  },
});
/** What a gateway may say of a refusal. */
const refusalDetails = {
  type: "object",
  strict: true,
  props: {
    route: { type: "string", max: 200 },
    code: { type: "string", max: 64, ...optional },
    suppressed: { type: "number", integer: true, ...optional },
  },
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
    params: { id: userIdRule },
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
    params: { id: userIdRule, email: emailRule, user_profile: profileRule, ...standing },
    returns: fullViewRule,
    errors: changeErrors,
  },
  update: {
    summary: "A moderator changes any part of an account.",
    visibility: "published",
    auth: moderators,
    unknown: "ignore",
    params: {
      id: userIdRule,
      email: { ...emailRule, ...optional },
      user_profile: { ...partialProfileRule, ...optional },
      ...standing,
    },
    returns: fullViewRule,
    errors: changeErrors,
  },
  /** The file comes as a stream beside the parameters (lib/file-stream.ts). */
  changeOwnPicture: {
    summary: "A new picture of the signed-in account.",
    visibility: "published",
    auth: "required",
    params: {},
    returns: fullViewRule,
  },
  changePicture: {
    summary: "A moderator gives an account a new picture.",
    visibility: "published",
    auth: moderators,
    params: { id: userIdRule },
    returns: fullViewRule,
    errors: ["not_found"],
  },
  listAudit: {
    summary: "Who did what to whom, when, from where and with which outcome, the newest first.",
    visibility: "published",
    auth: moderators,
    params: {
      actor: { ...userIdRule, ...optional, description: "Who did it." },
      subject: { ...userIdRule, ...optional, description: "To whom." },
      event: { ...event, ...optional },
      ip: { type: "string", max: maxIp, ...optional, example: "192.0.2.1" },
      outcome: { ...outcome, ...optional },
      from: { ...time, ...optional, description: "Not before this time." },
      to: { ...time, ...optional, description: "Before this time." },
      limit: { type: "number", integer: true, min: 1, max: 1000, default: 100 },
      after: { type: "string", max: 2048, ...optional, description: "From the `Link` header of the page before." },
    },
    returns: {
      type: "object",
      strict: true,
      props: { entries: { type: "array", items: auditRowRule }, next: { type: "string", nullable: true } },
    },
    errors: ["invalid_cursor"],
  },
  appendRefusals: {
    summary: "What gateways refused, for the audit log.",
    visibility: "public",
    auth: "internal",
    params: {
      entries: {
        type: "array",
        max: 1000,
        items: { type: "object", strict: true, props: { ...auditProps, details: refusalDetails } },
      },
    },
    returns: { type: "object", strict: true, props: {} },
  },
  /** @returns the JPEG as base64, null when there is none of that name */
  picture: {
    summary: "A picture by the name of its file.",
    visibility: "public",
    auth: "internal",
    params: { name: { type: "string", pattern: pictureNameForm } },
    returns: { type: "string", nullable: true },
  },
  health: {
    summary: "Whether the cache of views answers; without it views are read from the database.",
    visibility: "public",
    auth: "internal",
    params: {},
    returns: healthRule,
  },
});
