import type { Params, Result } from "../../lib/contract.ts";
import { findAccessState } from "../../mixins/accounts/sessions.repository.ts";
import type { authContract } from "./auth.contract.ts";
import type { AuthDeps } from "./deps.ts";

/** A gateway asks what an access token's account and session allow right now; null when there is no such account. */
export async function accessState(
  deps: AuthDeps,
  { user_id, session_id }: Params<typeof authContract.accessState>,
): Promise<Result<typeof authContract.accessState>> {
  return (await findAccessState(deps.db, user_id, session_id)) ?? null;
}
