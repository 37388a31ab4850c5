import type { ActionContract, Auth } from "../../lib/contract.ts";

/**
 * Who may do what: route x caller x field, in one place. The start fails when a route is missing here or its action says
 * something else, and the test matrix is made from it (test/security/f-permissions.test.ts).
 */
export interface Permission {
  /**
   * - `anyone`: no token needed. - `signed-in`: any active account, its address verified or not.
   * - `moderator`: moderators with a verified address.
   */
  readonly who: "anyone" | "signed-in" | "moderator";
  /** Fields of an account that the body may set; all others are ignored. */
  readonly writes: readonly string[];
  /**
   * What of an account the answer shows. `own-or-public`: the full view to moderators and the account itself.
   * `sessions`: where it is signed in. `audit`: what was done by it and to it, and to and by everybody else.
   */
  readonly reads: "nothing" | "full" | "own-or-public" | "sessions" | "audit";
}

const profile = [
  "user_profile.first_name",
  "user_profile.last_name",
  "user_profile.phone",
  "user_profile.birth_date",
] as const;
const registration: Permission = { who: "anyone", writes: ["email", "password", ...profile], reads: "full" };
/** A new address becomes `pending_email` until it is confirmed. */
const own: Permission = { who: "signed-in", writes: ["pending_email", ...profile], reads: "full" };
const moderation: Permission = {
  who: "moderator",
  writes: ["email", "role", "is_active", "is_email_verified", ...profile],
  reads: "full",
};
const nobodysData: Permission = { who: "anyone", writes: [], reads: "nothing" };

export const permissions: Readonly<Record<string, Permission>> = {
  "POST /api/v1/users/customers/": registration,
  "POST /api/v1/users/couriers/": registration,
  "POST /api/v1/users/managers/": registration,
  "POST /api/v1/users/moderators/": { ...registration, who: "moderator" },
  "GET /api/v1/users/current/": { who: "signed-in", writes: [], reads: "full" },
  "PUT /api/v1/users/current/": own,
  "PATCH /api/v1/users/current/": own,
  "PUT /api/v1/users/current/image/": { who: "signed-in", writes: ["user_profile.image_url"], reads: "full" },
  "POST /api/v1/users/current/password/": { who: "signed-in", writes: ["password"], reads: "nothing" },
  "POST /api/v1/users/password-reset/": nobodysData,
  // Whoever holds the token of the link.
  "POST /api/v1/users/password-reset/confirm/": { who: "anyone", writes: ["password"], reads: "nothing" },
  "GET /api/v1/users/current/send-activation/": { who: "signed-in", writes: [], reads: "nothing" },
  "GET /api/v1/users/": { who: "moderator", writes: [], reads: "full" },
  "GET /api/v1/users/:id/": { who: "anyone", writes: [], reads: "own-or-public" },
  "PUT /api/v1/users/:id/": moderation,
  "PATCH /api/v1/users/:id/": moderation,
  "PUT /api/v1/users/:id/image/": { who: "moderator", writes: ["user_profile.image_url"], reads: "full" },
  // Whoever holds the token of the link.
  "GET /api/v1/users/:uidb64/verify/:token/": nobodysData,
  "GET /api/v1/sessions/": { who: "signed-in", writes: [], reads: "sessions" },
  "DELETE /api/v1/sessions/": { who: "signed-in", writes: [], reads: "nothing" },
  "DELETE /api/v1/sessions/:id/": { who: "signed-in", writes: [], reads: "nothing" },
  "DELETE /api/v1/users/:id/sessions/": { who: "moderator", writes: [], reads: "nothing" },
  "GET /api/v1/audit/": { who: "moderator", writes: [], reads: "audit" },
  "POST /api/v1/tokens/": nobodysData,
  "POST /api/v1/tokens/refresh/": nobodysData,
  "POST /api/v1/tokens/clear/": nobodysData,
};

/** @throws Error when route and table do not say the same */
export function demandPermission(route: { method: string; path: string; action: ActionContract }): void {
  const name = `${route.method} ${route.path}`;
  const permission = permissions[name];
  if (!permission) throw new Error(`${name} is not in the table of permissions`);
  if (permission.who !== whoOf(route.action.auth)) {
    throw new Error(`${name}: the table of permissions and ${route.action.name} disagree on who may call it`);
  }
}

function whoOf(auth: Auth): Permission["who"] | undefined {
  if (auth === "none") return "anyone";
  if (auth === "required") return "signed-in";
  const moderatorsOnly = auth !== "internal" && auth.verified && auth.roles.join() === "MO";
  return moderatorsOnly ? "moderator" : undefined;
}
