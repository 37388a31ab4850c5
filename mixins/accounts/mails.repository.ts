import { randomUUID } from "node:crypto";
import type { Role } from "../../lib/roles.ts";
import type { Transaction } from "../database/database.ts";

export const mailKinds = [
  "verify-email",
  "welcome-moderator",
  "confirm-email",
  "email-change-notice",
  "email-moved",
  "reset-password",
  "password-changed",
  "session-reuse",
] as const;
export type MailKind = (typeof mailKinds)[number];
/** Tell an owner what happened to his account: they go out even if it was deactivated meanwhile. */
export const notices: readonly MailKind[] = ["email-change-notice", "email-moved", "password-changed", "session-reuse"];

export interface NewMail {
  readonly kind: MailKind;
  readonly userId: number;
  /** As stored with the account, never as somebody typed it. */
  readonly address: string;
  readonly data: { readonly role: Role; readonly first_name: string };
  /** The link's token is made from this id when the mail is sent; it is never stored. */
  readonly oneTimeTokenId?: string;
}

export async function queueMail(tx: Transaction, mail: NewMail): Promise<void> {
  await tx.query(
    "insert into mails (id, user_id, kind, address, data, one_time_token_id) values ($1, $2, $3, $4, $5, $6)",
    [randomUUID(), mail.userId, mail.kind, mail.address, mail.data, mail.oneTimeTokenId],
  );
  tx.signal({ name: "mails.queued" });
}
