-- Counts every update of an account, also those that are no change in the sense of "version" (last_login, a pending address):
-- caches are filled by it, so that an older read never replaces a newer entry.
alter table users add column revision bigint not null default 0;
-- When something changed that access tokens depend on; gateways ask for what is recent in case they missed a broadcast.
alter table users add column access_changed_at timestamptz;
create index users_access_changed on users (access_changed_at) where access_changed_at is not null;

-- By trigger, so that no way of changing an account can forget it.
create function count_revision() returns trigger language plpgsql as $$
begin
  new.revision := old.revision + 1;
  if (new.role, new.is_active, new.is_email_verified, new.is_staff, new.session_epoch)
    is distinct from (old.role, old.is_active, old.is_email_verified, old.is_staff, old.session_epoch) then
    new.access_changed_at := clock_timestamp();
  end if;
  return new;
end $$;
create trigger users_revision before update on users for each row execute function count_revision();

create index sessions_ended on sessions (ended_at) where ended_at is not null;
create index sessions_expired on sessions (least(idle_expires_at, expires_at));
create index one_time_tokens_expired on one_time_tokens (expires_at);

-- Whether an address is known is looked up after the answer, so that the answer takes as long either way.
create table password_reset_requests (
  id bigint generated always as identity primary key,
  email_canonical text not null,
  ip text not null,
  user_agent text not null,
  request_id text not null,
  requested_at timestamptz not null default now()
);

-- Which account a registration with an Idempotency-Key made. The body's hash leaves the password out: a fast hash of it
-- would be easier to guess than the slow one.
create table idempotency_keys (
  key_hash bytea primary key,
  request_hash bytea not null,
  user_id bigint not null references users on delete cascade,
  created_at timestamptz not null default now()
);
create index idempotency_keys_by_age on idempotency_keys (created_at);

-- Who did what to whom, when, from where. Rows are only ever added.
create table audit_log (
  id bigint generated always as identity primary key,
  occurred_at timestamptz not null default now(),
  -- Name from the OWASP Logging Vocabulary.
  event text not null,
  -- Null for the service itself and for whoever was not signed in. No foreign keys: the log outlives the accounts.
  actor_id bigint,
  subject_id bigint,
  ip text not null,
  user_agent text not null,
  request_id text not null,
  details jsonb not null default '{}'
);
create index audit_log_of_subject on audit_log (subject_id, id);
