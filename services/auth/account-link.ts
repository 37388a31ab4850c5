import { ServiceError } from "../../lib/errors.ts";
import { readOneTimeToken, type OneTimePurpose } from "../../lib/one-time-token.ts";
import { decodeUserId } from "../../lib/user-reference.ts";
import type { Account } from "../../mixins/accounts/account.ts";
import { findAccount } from "../../mixins/accounts/accounts.repository.ts";
import type { AuthDeps } from "./deps.ts";

/** What a mailed link says: the account and the token of its path. */
export interface AccountLink {
  readonly account: Account;
  readonly tokenId: string;
}

/**
 * A forged link is refused before anything is hashed or compared; whether a real one still counts, when it is used up.
 * @throws ServiceError `not_found` or `invalid_link`
 */
export async function readAccountLink(
  { db, keys }: AuthDeps,
  purpose: OneTimePurpose,
  link: { readonly user_reference: string; readonly token: string },
): Promise<AccountLink> {
  const account = await findAccount(db, decodeUserId(link.user_reference) ?? 0);
  if (!account) throw new ServiceError("not_found");
  const tokenId = readOneTimeToken(keys.oneTime, purpose, link.token);
  if (tokenId === undefined) throw new ServiceError("invalid_link");
  return { account, tokenId };
}
