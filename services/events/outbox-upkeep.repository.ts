import type { Sql } from "../../mixins/database/database.ts";
import { isParked } from "./outbox-queue.repository.ts";

/** Each statement is short: it holds no lock for long, and the statement timeout is 2.5 s. */
const deletedAtOnce = 1000;
const replayedAtOnce = 5000;
const changedAtOnce = 5000;

/** @returns "more" when there may be more that is too old */
export async function deleteOld(sql: Sql, retentionSeconds: number): Promise<"more" | "done"> {
  const rows = await sql.query(
    `delete from outbox where id in (
       select id from outbox where published_at < now() - make_interval(secs => $1) order by published_at limit $2)
     returning 1`,
    [retentionSeconds, deletedAtOnce],
  );
  return rows.length === deletedAtOnce ? "more" : "done";
}

export async function missingTopics(sql: Sql): Promise<string[]> {
  const rows = await sql.query<{ topic: string }>(
    `select distinct missing_topic as topic from outbox where ${isParked} and missing_topic is not null`,
  );
  return rows.map(({ topic }) => topic);
}

/** What was parked because this topic was not there is tried again. @returns how many */
export async function unparkOfTopic(sql: Sql, topic: string): Promise<number> {
  return await unpark(sql, "missing_topic = $1", topic);
}

/** @param which a condition with $1 for the value */
export async function unpark(sql: Sql, which: string, value: string | null): Promise<number> {
  for (let count = 0; ;) {
    const rows = await sql.query(
      `update outbox set parked_at = null, next_attempt_at = null, attempts = 0 where id = any(array(
         select id from outbox where ${isParked} and ${which} limit $2 for update skip locked)) returning 1`,
      [value, changedAtOnce],
    );
    count += rows.length;
    if (rows.length < changedAtOnce) return count;
  }
}

const isHeld = "published_at is null and parked_at is null and next_attempt_at = 'infinity'";

/**
 * Takes out of the queue what waits behind parked changes, and puts back what waits behind none any more: looked at again
 * for every batch, 100,000 held rows made each take 650 ms. Until a row is taken out, the queue itself holds it.
 * @returns "more" when there may be more of them
 */
export async function holdBehindParked(sql: Sql): Promise<"more" | "done"> {
  // By user, of whom there are far fewer than rows, and each with subqueries: as a join the planner, which has not counted
  // the parked ones yet, compares all with all (11 s for 1,000 users and 100,000 rows). What `coalesce` hides is what it
  // would read all of instead.
  const freed = await sql.query(
    `update outbox set next_attempt_at = null where id = any(array(
       select free.id from (
         select user_id, coalesce((select version from outbox where user_id = held.user_id and published_at is null
                                     and coalesce(parked_at, 'infinity') < 'infinity' order by version limit 1),
                                  2147483647) as parked
         from (select distinct user_id from outbox where ${isHeld}) held offset 0) behind
       cross join lateral (
         select id from outbox where user_id = behind.user_id and version < behind.parked and ${isHeld} offset 0) free
       limit $1)) returning 1`,
    [changedAtOnce],
  );
  const held = await sql.query(
    `update outbox set next_attempt_at = 'infinity' where id = any(array(
       select later.id from (select user_id, min(version) as version from outbox where ${isParked} group by user_id) p
       cross join lateral (
         select id from outbox where user_id = p.user_id and version > p.version
           and published_at is null and coalesce(next_attempt_at, '-infinity') = '-infinity' offset 0) later
       limit $1)) returning 1`,
    [changedAtOnce],
  );
  return Math.max(freed.length, held.length) === changedAtOnce ? "more" : "done";
}

export interface Replay {
  readonly id: number;
  readonly since: Date;
  readonly topic: string | null;
}

export async function requestedReplay(sql: Sql): Promise<Replay | undefined> {
  const [replay] = await sql.query<Replay>("select id, since, topic from outbox_replays where carried_out_at is null");
  return replay;
}

/**
 * Puts published changes back into the queue, some at a time. By the time of publication, which rises with each user's
 * versions: of every user the last so-and-so-many come again, without gaps.
 * @returns how many, and "more" when there may be more
 */
export async function putBack(
  sql: Sql,
  { since, topic }: Replay,
): Promise<{ count: number; outcome: "more" | "done" }> {
  const rows = await sql.query(
    `update outbox set published_at = null, replayed_at = now(), replay_topic = $2, attempts = 0
     where id in (select id from outbox where published_at >= $1 and skipped_at is null limit $3) returning 1`,
    [since, topic, replayedAtOnce],
  );
  return { count: rows.length, outcome: rows.length === replayedAtOnce ? "more" : "done" };
}

export async function markCarriedOut(sql: Sql, { id }: Replay): Promise<void> {
  await sql.query("update outbox_replays set carried_out_at = now() where id = $1", [id]);
}
