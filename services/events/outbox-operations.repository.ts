import { system } from "../../lib/principal.ts";
import { appendAudit } from "../../mixins/accounts/audit.repository.ts";
import type { Database, Sql } from "../../mixins/database/database.ts";
import { relayLockKey } from "./leadership.ts";
import { isParked } from "./outbox-queue.repository.ts";
import { unpark } from "./outbox-upkeep.repository.ts";

/** What operators see of the outbox and do to it (scripts/cli/outbox.ts). */
export interface ParkedChange {
  readonly id: string;
  readonly user_id: number;
  readonly type: string;
  readonly version: number;
  readonly attempts: number;
  readonly reason: string;
  readonly parked_at: Date;
  /** How many later changes of this user wait behind it. */
  readonly holds: number;
}

export async function parkedChanges(sql: Sql, limit: number): Promise<ParkedChange[]> {
  return await sql.query<ParkedChange>(
    `select id, user_id, type, version, attempts, coalesce(last_error, '') as reason, parked_at,
       (select count(*)::int from outbox later where later.user_id = o.user_id and later.published_at is null
          and later.version > o.version) as holds
     from outbox o where ${isParked} order by parked_at, seq limit $1`,
    [limit],
  );
}

export interface RelayState {
  /** Whether some node runs the relay. */
  readonly leader: boolean;
  readonly last_published_at: Date | null;
  /** Waiting to be told again, or to be put back for it. */
  readonly replaying: boolean;
  readonly skipped: number;
}

/** Put back to be told again, and not there yet. */
const isReplaying = `exists (select from outbox_replays where carried_out_at is null)
  or exists (select from outbox where published_at is null and replayed_at is not null)`;

export async function relayState(sql: Sql): Promise<RelayState> {
  const [row] = await sql.query<RelayState>(
    `select exists (select from pg_locks l join pg_database d on d.oid = l.database
         where l.locktype = 'advisory' and l.granted and l.objid = $1::int and d.datname = current_database()) as leader,
       (select max(published_at) from outbox where published_at is not null) as last_published_at,
       (${isReplaying}) as replaying,
       (select count(*)::int from outbox where skipped_at is not null) as skipped`,
    [relayLockKey],
  );
  if (!row) throw new Error("PostgreSQL answered nothing");
  return row;
}

/** Tries parked changes again. @param id all of them when undefined @returns how many; 0 when this one is not parked */
export async function retryParked(sql: Sql, id: string | undefined): Promise<number> {
  return await unpark(sql, "($1::uuid is null or id = $1)", id ?? null);
}

export interface SkippedChange {
  readonly user_id: number;
  readonly version: number;
  readonly type: string;
}

/** A parked change is not told; the audit log says so. @returns undefined when it is not parked */
export async function skipParked(db: Database, id: string): Promise<SkippedChange | undefined> {
  return await db.transaction(async (tx) => {
    // One that is told again was published before: it is in Kafka already, and is no gap.
    const [row] = await tx.query<SkippedChange & { reason: string | null }>(
      `update outbox set published_at = now(), next_attempt_at = null, parked_at = null,
         skipped_at = case when replayed_at is null then now() end
       where id = $1 and ${isParked}
       returning user_id, version, type, last_error as reason`,
      [id],
    );
    if (!row) return undefined;
    const { user_id: subjectId, version, type, reason } = row;
    await appendAudit(tx, "outbox_change_skipped", system, {
      subjectId,
      details: { change_id: id, version, type, reason },
    });
    return { user_id: subjectId, version, type };
  });
}

/** @returns how many changes it concerns as of now; undefined while another replay is under way */
export async function requestReplay(sql: Sql, since: Date, topic: string | undefined): Promise<number | undefined> {
  const rows = await sql.query(
    `insert into outbox_replays (since, topic) select $1, $2 where not (${isReplaying})
     on conflict do nothing returning 1`,
    [since, topic],
  );
  if (rows.length === 0) return undefined;
  const [row] = await sql.query<{ changes: number }>(
    `select count(*)::int as changes from outbox where skipped_at is null
       and (published_at >= $1 or (published_at is null and replayed_at is not null))`,
    [since],
  );
  return row?.changes ?? 0;
}
