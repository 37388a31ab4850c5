-- A link's life begins when its mail is sent: then expires_at becomes that time plus the lifetime. Until then expires_at is
-- when nobody waits for the mail any more. Null in rows that were made before this column: their life has begun.
alter table one_time_tokens add column lifetime interval, add column sent_at timestamptz;

create table mail_attempts (
  mail_id uuid not null references mails on delete cascade,
  attempt integer not null,
  started_at timestamptz not null default now(),
  -- Null while it runs; for good when the mailer died in it, and then the mail may have been sent.
  ended_at timestamptz,
  outcome text check (outcome in ('sent', 'deferred', 'refused', 'unavailable', 'unmade', 'superseded')),
  -- What the server said, as codes: its sentence may repeat the address.
  code text,
  primary key (mail_id, attempt)
);

create index mails_over on mails (created_at) where status <> 'queued';
-- For whoever watches the queue: what was given up, without what nobody waits for any more.
create index mails_given_up on mails (created_at) where status = 'abandoned' and last_error <> 'superseded';
