import type { Transaction } from "../database/database.ts";

/**
 * Makes the effect of another service's event happen once: whoever gets true goes on and writes in the same transaction;
 * false says that it was done before. Of two at once the second waits for the first one's commit.
 *
 * @param handler names who handles it, for example the action: several may listen to one event
 * @param eventId as the bridge handed it over
 */
export async function onceForEvent(tx: Transaction, handler: string, eventId: string): Promise<boolean> {
  const first = await tx.query(
    "insert into inbox (handler, event_id) values ($1, $2) on conflict do nothing returning 1",
    [handler, eventId],
  );
  return first.length === 1;
}
