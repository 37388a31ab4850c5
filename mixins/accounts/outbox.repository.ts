import { randomUUID } from "node:crypto";
import type { Role } from "../../lib/roles.ts";
import { currentTraceparent } from "../../lib/trace.ts";
import type { Transaction } from "../database/database.ts";

/** What happened to an account. The relay decides which topics hear of it, and of which fields (services/events/topics.ts). */
export type AccountEvent =
  | { readonly type: "user.registered"; readonly data: { role: Role; full_name: string; image_url: string } }
  | {
      readonly type: "user.profile_updated";
      /** `seen_by_others`: name or picture changed, and not only what is private. */
      readonly data: { role: Role; full_name: string; image_url: string; seen_by_others: boolean };
    }
  | {
      readonly type: "user.role_changed";
      /** `first_time`: the account never had this role before, so the other services have no row for it. */
      readonly data: { from: Role; to: Role; first_time: boolean; full_name: string; image_url: string };
    }
  | {
      readonly type:
        | "user.email_verified"
        | "user.email_changed"
        | "user.deactivated"
        | "user.reactivated"
        | "user.password_changed"
        | "user.deleted";
      readonly data: Readonly<Record<string, never>>;
    };

/** @param version the account's version after the change: unique per account and without gaps */
export async function appendEvent(
  tx: Transaction,
  userId: number,
  version: number,
  event: AccountEvent,
): Promise<void> {
  await tx.query("insert into outbox (id, user_id, version, type, data, traceparent) values ($1, $2, $3, $4, $5, $6)", [
    randomUUID(),
    userId,
    version,
    event.type,
    event.data,
    currentTraceparent(),
  ]);
  tx.signal({ name: "outbox.appended" });
}
