import type { Result } from "../../lib/contract.ts";
import { findAccessChanges, findAccessStates } from "../../mixins/accounts/access.repository.ts";
import type { authContract } from "./auth.contract.ts";
import type { Sql } from "../../mixins/database/database.ts";

/** More at once cost a gateway more to hear of than to forget what it knows. */
const maxChanges = 5000;

/** A gateway meets access tokens that it does not know. */
export async function accessStates(
  sql: Sql,
  of: readonly { user_id: number; session_id: string }[],
): Promise<Result<typeof authContract.accessStates>> {
  return await findAccessStates(sql, of);
}

/** A gateway asks what it may have failed to hear. */
export async function accessChanges(sql: Sql, seconds: number): Promise<Result<typeof authContract.accessChanges>> {
  const { accounts, session_ids } = await findAccessChanges(sql, seconds, maxChanges);
  if (accounts.length === maxChanges || session_ids.length === maxChanges) return null;
  return { accounts: [...accounts], session_ids: [...session_ids] };
}
