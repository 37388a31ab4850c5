import { roles, type Role } from "../../lib/roles.ts";
import { rule, type Rule, type Shape } from "../../lib/schema.ts";

/** A change of an account as it lies in the outbox. */
export interface Change {
  /** UUID: the `ce_id` of every message about it. */
  readonly id: string;
  readonly userId: number;
  readonly version: number;
  readonly type: string;
  readonly data: Readonly<Record<string, unknown>>;
  readonly occurredAt: Date;
  readonly traceparent: string | null;
}

type Field = "id" | "full_name" | "image_url";
type Audience = Readonly<Record<string, readonly Field[]>>;

export const userIdRule = rule({ type: "number", integer: true, min: 1 });
const imageUrlRule = rule({ type: "string", max: 200, pattern: "^https?://", description: "Absolute; never signed." });
/** What `review` can store. */
export const fieldRules: Readonly<Record<Field, Rule>> = {
  id: userIdRule,
  // The validator counts UTF-16 units, of which an emoji has two.
  full_name: { type: "string", max: 2 * 254, description: "At most 254 characters." },
  image_url: imageUrlRule,
};

/** Which event goes to which topic with which fields (CONTRACT.md, section 3). The whole of it: nothing else decides. */
const created: Readonly<Record<Role, { event: string; to: Audience }>> = {
  CU: { event: "CustomerCreatedEvent", to: { user_order: ["id"], user_review: ["id", "full_name", "image_url"] } },
  CO: { event: "CourierCreatedEvent", to: { user_order: ["id"], user_review: ["id"] } },
  RM: {
    event: "RestaurantManagerCreatedEvent",
    to: { user_restaurant: ["id"], user_menu: ["id"], user_order: ["id"] },
  },
  MO: { event: "ModeratorCreatedEvent", to: { user_restaurant: ["id"], user_order: ["id"] } },
};
const updated: Partial<Record<Role, { event: string; to: Audience }>> = {
  CU: { event: "CustomerUpdatedEvent", to: { user_review: ["id", "full_name", "image_url"] } },
};
const roleRule = rule({ type: "enum", values: roles });
/** What `user_events` tells of each change besides its type. */
export const changeShapes: Readonly<Record<string, Shape>> = {
  "user.registered": { role: roleRule },
  "user.email_verified": {},
  "user.email_changed": {},
  "user.profile_updated": { full_name: { type: "string" }, image_url: imageUrlRule },
  "user.role_changed": { from: roleRule, to: roleRule },
  "user.deactivated": {},
  "user.reactivated": {},
  "user.password_changed": {},
  "user.deleted": {},
};
export const changesTopic = "user_events";

export const platformEvents = [...Object.values(created), ...Object.values(updated)];

export const allTopics: readonly string[] = [
  ...new Set(platformEvents.flatMap(({ to }) => Object.keys(to))),
  changesTopic,
];

/** The platform's event that a change stands for, if it stands for one. */
export function platformEvent({ type, data }: Change): { event: string; to: Audience } | undefined {
  if (type === "user.registered") return createdEvent(data["role"] as Role);
  if (type === "user.profile_updated" && data["seen_by_others"] === true) return updated[data["role"] as Role];
  if (type === "user.role_changed" && data["first_time"] === true) return createdEvent(data["to"] as Role);
  return undefined;
}

function createdEvent(role: Role) {
  if (!Object.hasOwn(created, role)) throw new Error(`no such role: ${role}`);
  return created[role];
}

/** @throws Error for a type that the table does not know: it must not be published with a guess */
export function fieldsOfChange(change: Change): Record<string, unknown> {
  const shape = Object.hasOwn(changeShapes, change.type) ? changeShapes[change.type] : undefined;
  if (!shape) throw new Error(`no such type of change: ${change.type}`);
  return Object.fromEntries(Object.keys(shape).map((field) => [field, change.data[field]]));
}
