-- Tried as often as it may be and not published: it waits for an operator (`npm run cli -- outbox retry | skip`), and its
-- user's later rows wait behind it. next_attempt_at is then infinity for all of them, which takes them out of the queue.
alter table outbox add column parked_at timestamptz;
-- The topic that was not there at the last attempt: when it is, the relay goes on by itself.
alter table outbox add column missing_topic text;
-- An operator decided that it is not told; published_at is set as well, since it is out of the queue.
alter table outbox add column skipped_at timestamptz;
-- Put back into the queue after it was published, and for which topic (null: for all that it concerns).
alter table outbox add column replayed_at timestamptz;
alter table outbox add column replay_topic text;

-- The queue: what happened first, then what is told again. A new name for the order; the old index has no reader left.
create index outbox_queue on outbox ((replayed_at is not null), seq)
  where published_at is null and (next_attempt_at is null or next_attempt_at < 'infinity');
drop index outbox_unpublished;
-- Rows that may hold others of their user: nearly always none, so that asking costs nothing.
create index outbox_holding on outbox (user_id)
  where published_at is null and (next_attempt_at is not null or replayed_at is not null);
create index outbox_parked on outbox (parked_at) where published_at is null and parked_at is not null;
-- For deleting what is old and replaying what is not.
create index outbox_published on outbox (published_at) where published_at is not null;
-- Each row is inserted, updated and deleted once: what that leaves behind is cleared away early.
alter table outbox set (autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02);

-- What operators asked to be told again. The relay carries it out between two batches, so that nothing overtakes it.
create table outbox_replays (
  id bigint generated always as identity primary key,
  -- Everything that was published at this time or later.
  since timestamptz not null,
  topic text,
  requested_at timestamptz not null default now(),
  carried_out_at timestamptz
);
create unique index outbox_replay_pending on outbox_replays ((true)) where carried_out_at is null;
