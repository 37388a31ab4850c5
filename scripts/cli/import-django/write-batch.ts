import type { Database } from "../../../mixins/database/database.ts";
import type { Kind } from "./findings.ts";
import type { ImportedUser } from "./read-user.ts";
import { findExisting, findHolders, insertImported, updateImported, type Existing } from "./target.repository.ts";

export interface Outcome {
  readonly user: ImportedUser;
  readonly kind: Kind;
  /** The account that is in the way. */
  readonly other?: number;
}

/** Writes accounts all together or not at all; who comes first gets an address. */
export async function writeBatch(db: Database, users: readonly ImportedUser[]): Promise<Outcome[]> {
  return await db.transaction(async (tx) => {
    const existing = await findExisting(
      tx,
      users.map(({ id }) => id),
    );
    const outcomes = new Map<number, Outcome>();
    const toInsert: ImportedUser[] = [];
    const toUpdate: ImportedUser[] = [];
    const writable = users.filter((user) => {
      const kind = settledKind(user, existing.get(user.id));
      if (kind !== undefined) outcomes.set(user.id, { user, kind });
      return kind === undefined;
    });
    const holders = await findHolders(
      tx,
      writable.map((user) => user.email_canonical),
    );
    for (const user of writable) {
      const holder = holders.get(user.email_canonical);
      if (holder !== undefined && holder !== user.id) {
        outcomes.set(user.id, { user, kind: "address-taken", other: holder });
        continue;
      }
      holders.set(user.email_canonical, user.id);
      (existing.has(user.id) ? toUpdate : toInsert).push(user);
    }
    const updated = await updateImported(tx, toUpdate);
    for (const user of toUpdate)
      outcomes.set(user.id, { user, kind: updated.has(user.id) ? "updated" : "changed-here" });
    const inserted = await insertImported(tx, toInsert);
    for (const user of toInsert)
      outcomes.set(user.id, { user, kind: inserted.has(user.id) ? "imported" : "address-taken" });
    return [...outcomes.values()];
  });
}

/** What there is to say about an account that is not to be written; nothing about one that is. */
function settledKind(user: ImportedUser, existing: Existing | undefined): Kind | undefined {
  if (!existing) return undefined;
  if (!existing.sourceHash) return "id-taken";
  const unchanged = existing.sourceHash.toString("hex") === user.source_hash;
  if (existing.version > 0) return unchanged ? "changed-here" : "changed-in-both";
  return unchanged ? "unchanged" : undefined;
}
