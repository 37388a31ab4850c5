-- The canonical form of an address that its account has left, in the token by which the change is taken back: nobody else
-- gets it while that lives. Null where it was never verified: then it is nobody's yet.
alter table one_time_tokens add column reserved_canonical text;
create index one_time_tokens_reserved on one_time_tokens (reserved_canonical)
  where reserved_canonical is not null and ended_at is null;

-- "End my other sessions" ends those of the Django service as well, of which there is no row yet.
alter table users add column legacy_sessions_ended boolean not null default false;
