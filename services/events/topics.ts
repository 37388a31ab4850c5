import type { Role } from "../../lib/roles.ts";

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
/** What `user_events` tells of each change besides its type. */
const changeFields: Readonly<Record<string, readonly string[]>> = {
  "user.registered": ["role"],
  "user.email_verified": [],
  "user.email_changed": [],
  "user.profile_updated": ["full_name", "image_url"],
  "user.role_changed": ["from", "to"],
  "user.deactivated": [],
  "user.reactivated": [],
  "user.password_changed": [],
  "user.deleted": [],
};
export const changesTopic = "user_events";

export const allTopics: readonly string[] = [
  ...new Set([...Object.values(created), ...Object.values(updated)].flatMap(({ to }) => Object.keys(to))),
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
  const fields = changeFields[change.type];
  if (!fields) throw new Error(`no such type of change: ${change.type}`);
  return Object.fromEntries(fields.map((field) => [field, change.data[field]]));
}
