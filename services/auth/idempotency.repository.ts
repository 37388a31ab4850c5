import type { Sql, Transaction } from "../../mixins/database/database.ts";

interface Remembered {
  readonly requestHash: Buffer;
  readonly userId: number;
}

const isFresh = "created_at > now() - interval '24 hours'";

export async function findIdempotencyKey(sql: Sql, keyHash: Buffer): Promise<Remembered | undefined> {
  const [remembered] = await sql.query<Remembered>(
    `select request_hash as "requestHash", user_id as "userId" from idempotency_keys where key_hash = $1 and ${isFresh}`,
    [keyHash],
  );
  return remembered;
}

/** Waits for whoever is using the same key right now. @returns false when it is in use */
export async function insertIdempotencyKey(
  tx: Transaction,
  { keyHash, requestHash }: { readonly keyHash: Buffer; readonly requestHash: Buffer },
  userId: number,
): Promise<boolean> {
  const inserted = await tx.query(
    `insert into idempotency_keys (key_hash, request_hash, user_id) values ($1, $2, $3)
     on conflict (key_hash) do update set request_hash = $2, user_id = $3, created_at = now()
       where not idempotency_keys.${isFresh} returning 1`,
    [keyHash, requestHash, userId],
  );
  return inserted.length > 0;
}
