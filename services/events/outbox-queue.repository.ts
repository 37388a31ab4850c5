import type { Database, Sql } from "../../mixins/database/database.ts";
import type { Change } from "./topics.ts";

export interface QueuedChange extends Change {
  /** Told again, to this topic alone. */
  readonly onlyTopic: string | null;
}

/**
 * Nothing of a user goes while an older row of his waits for its next attempt or for an operator, and nothing new while
 * old rows are still to be told again. A scalar subquery on purpose: as `not exists` the planner may join, and then has
 * to sort the whole backlog for each batch (test/integration/outbox-queue.test.ts).
 */
const mayGo = `published_at is null and (next_attempt_at is null or next_attempt_at < 'infinity') and coalesce((
  select false from outbox held
  where held.user_id = o.user_id and held.published_at is null
    and (held.next_attempt_at is not null or held.replayed_at is not null)
    and ((held.next_attempt_at > now() and held.version <= o.version)
      or (held.replayed_at is not null and o.replayed_at is null))
  limit 1), true)`;
const inOrder = "order by replayed_at is not null, seq";

/**
 * In the order of its index, whatever the planner believes: what came at once it has not counted, and it would sort a
 * backlog of 100,000 for each batch (400 ms against 3).
 */
async function inItsOrder<T>(db: Database, work: (sql: Sql) => Promise<T>): Promise<T> {
  return await db.transaction(async (tx) => {
    await tx.query("select set_config('enable_sort', 'off', true), set_config('enable_bitmapscan', 'off', true)");
    return await work(tx);
  });
}

/**
 * What is to be published, in an order that is right for each user. By state and not by a cursor: a row whose
 * transaction commits late would be missed by one.
 */
export async function unpublished(db: Database, limit: number): Promise<QueuedChange[]> {
  const statement = `select id, user_id as "userId", version, type, data, occurred_at as "occurredAt", traceparent,
       replay_topic as "onlyTopic"
     from outbox o where ${mayGo} ${inOrder} limit $1`;
  return await inItsOrder(db, (sql) => sql.query<QueuedChange>(statement, [limit]));
}

/** `is null` would let the planner read the index of all that waits, instead of 300 times the primary key. */
const isUnpublished = "coalesce(published_at, 'infinity') = 'infinity'";

/** @returns of each change that is told for the first time, the seconds since it happened */
export async function markPublished(sql: Sql, ids: readonly string[]): Promise<number[]> {
  const rows = await sql.query<{ seconds: number | null }>(
    `update outbox set published_at = now(), last_error = null, next_attempt_at = null, missing_topic = null
     where id = any($1::uuid[]) and ${isUnpublished}
     returning case when replayed_at is null
       then extract(epoch from clock_timestamp() - occurred_at)::float8 end as seconds`,
    [ids],
  );
  return rows.flatMap(({ seconds }) => (seconds === null ? [] : [seconds]));
}

export interface Problem {
  readonly reason: string;
  /** The topic that is not there, if it is that. */
  readonly missingTopic?: string | undefined;
}
/** With pauses of at most 0.5, 1, 2 and 4 s in between. */
const maxAttempts = 5;
const maxReason = 300;

/** Tried again after a while that doubles each time; after the last attempt it is parked. Until then it holds its user's later rows. */
export async function markFailed(sql: Sql, id: string, { reason, missingTopic }: Problem): Promise<"held" | "parked"> {
  const [row] = await sql.query<{ parked: boolean }>(
    `update outbox set attempts = attempts + 1, last_error = $2, missing_topic = $3,
       parked_at = case when attempts + 1 >= $4 then now() end,
       next_attempt_at = case when attempts + 1 >= $4 then 'infinity'
         else now() + make_interval(secs => least(30, 0.5 * 2 ^ attempts) * (0.5 + random() / 2)) end
     where id = $1 and published_at is null returning parked_at is not null as parked`,
    [id, reason.slice(0, maxReason), missingTopic, maxAttempts],
  );
  return row?.parked === true ? "parked" : "held";
}

/** For how many seconds the oldest change waits that nothing holds; 0 without one. */
const oldestSeconds = `coalesce(extract(epoch from now() - (
  select coalesce(replayed_at, occurred_at) from outbox o where ${mayGo} ${inOrder} limit 1)), 0)::float8`;
export const isParked = "published_at is null and parked_at is not null";

export interface QueueHead {
  readonly anyParked: boolean;
  readonly oldestSeconds: number;
}

/** What can be told without counting: a probe comes every few seconds, also when a million wait. */
export async function queueHead(db: Database): Promise<QueueHead> {
  const statement = `select exists (select from outbox where ${isParked}) as "anyParked", ${oldestSeconds} as "oldestSeconds"`;
  const [row] = await inItsOrder(db, (sql) => sql.query<QueueHead>(statement));
  return row ?? { anyParked: false, oldestSeconds: 0 };
}

export interface QueueState {
  readonly unpublished: number;
  readonly oldestSeconds: number;
  readonly parked: number;
  /** Waiting behind a parked change of the same user. */
  readonly held: number;
}

export async function queueState(db: Database): Promise<QueueState> {
  const statement = `with parked as (
       select user_id, min(version) as version, count(*) as rows from outbox where ${isParked} group by user_id)
     select (select count(*) from outbox where published_at is null)::int as unpublished,
       (select coalesce(sum(rows), 0) from parked)::int as parked,
       (select coalesce(sum(later.rows), 0) from parked p cross join lateral (
          select count(*) as rows from outbox
          where user_id = p.user_id and version > p.version and published_at is null
            and parked_at is null) later)::int as held,
       ${oldestSeconds} as "oldestSeconds"`;
  const [row] = await inItsOrder(db, (sql) => sql.query<QueueState>(statement));
  return row ?? { unpublished: 0, oldestSeconds: 0, parked: 0, held: 0 };
}
