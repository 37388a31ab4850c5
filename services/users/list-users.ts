import type { Params, Result } from "../../lib/contract.ts";
import { sealCursor, openCursor } from "../../lib/cursor.ts";
import { invalidFields } from "../../lib/errors.ts";
import type { Actor } from "../../lib/principal.ts";
import type { Role } from "../../lib/roles.ts";
import { fullView } from "../../mixins/accounts/account.ts";
import type { UsersDeps } from "./deps.ts";
import { listAccounts, searchAccounts, type Position } from "./list.repository.ts";
import type { usersContract } from "./users.contract.ts";

type Query = Params<typeof usersContract.list>;
const minSearch = 3;

/** A moderator goes through the accounts, page by page: moderators left out, ordered by id or by the term found. */
export async function listUsers(
  deps: UsersDeps,
  query: Query,
  actor: Actor,
): Promise<Result<typeof usersContract.list>> {
  const after = query.after === undefined ? undefined : (openCursor(deps.cursorKeys, query.after) as Position);
  const filter = {
    role: query.role?.toUpperCase() as Role | undefined,
    isActive: query.is_active,
    isEmailVerified: query.is_email_verified,
  };
  // One more than asked for tells whether there is a next page.
  const limit = query.limit + 1;
  const found =
    query.search === undefined
      ? await listAccounts(deps.db, filter, after, limit)
      : await searchAccounts(deps.db, readSearch(query.search), filter, after, limit);
  const filters = Object.keys(query).filter((name) => name !== "limit");
  deps.reads.tell("sensitive_read", actor, { details: { object: "accounts", filters } });
  const page = found.slice(0, query.limit);
  const last = found.length > page.length ? page.at(-1) : undefined;
  const position: Position | undefined = last && { id: last.id, ...(last.term !== undefined && { term: last.term }) };
  return {
    users: page.map((account) => fullView(account, deps.config.publicUrl, deps.clock.now())),
    next: position ? sealCursor(deps.cursorKeys, position) : null,
  };
}

/** A phone number may be typed with spaces, brackets and hyphens; everything is found in Unicode's composed form. */
function readSearch(typed: string): string {
  const text = typed.normalize("NFC").trim();
  const isPhone = /^\+[0-9][0-9 ()./-]*$/.test(text);
  const prefix = isPhone ? `+${text.replaceAll(/[^0-9]/g, "")}` : text;
  if (Array.from(prefix).length < minSearch || !prefix.isWellFormed() || /\p{Cc}/u.test(prefix)) {
    throw invalidFields({ search: `Ensure this field has at least ${minSearch} characters.` });
  }
  return prefix;
}
