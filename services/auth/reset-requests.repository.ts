import type { Actor } from "../../lib/principal.ts";
import type { Transaction } from "../../mixins/database/database.ts";

export async function insertResetRequest(tx: Transaction, emailCanonical: string, actor: Actor): Promise<void> {
  await tx.query(
    "insert into password_reset_requests (email_canonical, ip, user_agent, request_id) values ($1, $2, $3, $4)",
    [emailCanonical, actor.ip, actor.userAgent.slice(0, 256), actor.requestId],
  );
  tx.signal({ name: "password-reset.requested" });
}

export interface ResetRequest {
  readonly emailCanonical: string;
  readonly ip: string;
  readonly userAgent: string;
  readonly requestId: string;
}

/** The oldest one that nobody else has taken; it is gone with the transaction that follows it up. */
export async function takeResetRequest(tx: Transaction): Promise<ResetRequest | undefined> {
  const [request] = await tx.query<ResetRequest>(
    `delete from password_reset_requests where id =
       (select id from password_reset_requests order by id limit 1 for update skip locked)
     returning email_canonical as "emailCanonical", ip, user_agent as "userAgent", request_id as "requestId"`,
  );
  return request;
}
