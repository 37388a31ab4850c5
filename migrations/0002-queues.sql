-- One row per change of an account, written in the transaction of the change; the relay fans it out to topics.
create table outbox (
  -- The ce_id of every message about this change, over topics and redeliveries.
  id uuid primary key,
  -- Orders rows within one user (taken under the account's lock). Over users it says nothing: commits may overtake.
  seq bigint generated always as identity,
  user_id bigint not null,
  version integer not null,
  type text not null,
  data jsonb not null,
  traceparent text,
  occurred_at timestamptz not null default now(),
  attempts integer not null default 0,
  next_attempt_at timestamptz,
  last_error text,
  published_at timestamptz,
  constraint outbox_version_unique unique (user_id, version)
);
create index outbox_unpublished on outbox (seq) where published_at is null;
create index outbox_unpublished_of_user on outbox (user_id, version) where published_at is null;

-- Holds the id of a one-time token, never the token or its link: that is made again at every attempt to send.
create table mails (
  id uuid primary key,
  seq bigint generated always as identity,
  user_id bigint not null,
  kind text not null,
  address text not null,
  data jsonb not null,
  one_time_token_id uuid,
  status text not null default 'queued' check (status in ('queued', 'sent', 'abandoned')),
  attempts integer not null default 0,
  -- Also the lease of whoever is sending it.
  next_attempt_at timestamptz not null default now(),
  last_error text,
  created_at timestamptz not null default now(),
  sent_at timestamptz
);
create index mails_queued on mails (next_attempt_at) where status = 'queued';
