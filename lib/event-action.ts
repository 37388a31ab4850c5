import type { ActionContract } from "./contract.ts";
import { rule, type Rule } from "./schema.ts";

/** An action that is called for an event of another service (services/events/listeners.ts); `data` is its contract. */
export type EventAction = ActionContract & {
  readonly auth: "internal";
  readonly params: { readonly event_id: Rule; readonly data: Rule };
};

/** The same at every redelivery. For `onceForEvent` (mixins/accounts/inbox.repository.ts). */
export const eventIdRule = rule({ type: "string", min: 1, max: 600 });
