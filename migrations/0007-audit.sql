-- Rows from before had no outcome; all of them but one kind had succeeded.
alter table audit_log add column outcome text not null default 'success'
  check (outcome in ('success', 'failure', 'refused'));
update audit_log set outcome = 'refused' where event = 'authn_token_reuse';

-- Pages go from the newest backwards, by any one filter along one index.
drop index audit_log_of_subject;
create index audit_log_by_time on audit_log (occurred_at, id);
create index audit_log_by_actor on audit_log (actor_id, occurred_at, id) where actor_id is not null;
create index audit_log_by_subject on audit_log (subject_id, occurred_at, id) where subject_id is not null;
create index audit_log_by_event on audit_log (event, occurred_at, id);
create index audit_log_by_ip on audit_log (ip, occurred_at, id);
create index audit_log_by_outcome on audit_log (outcome, occurred_at, id);

-- The service's role has no right to change a row (mixins/database/grants.ts). Where it owns the tables all the same, and for
-- whoever else owns them, a slip is refused here: only rows that are older than any retention may go.
create function refuse_audit_change() returns trigger language plpgsql as $$
begin
  if tg_op = 'DELETE' and old.occurred_at < now() - interval '30 days' then return old; end if;
  raise exception 'rows of audit_log are only ever added' using errcode = 'insufficient_privilege';
end $$;
create trigger audit_log_rows before update or delete on audit_log for each row execute function refuse_audit_change();
create trigger audit_log_whole before truncate on audit_log for each statement execute function refuse_audit_change();
alter table audit_log enable always trigger audit_log_rows;
alter table audit_log enable always trigger audit_log_whole;

-- The one way in which the service's role lets rows go: as the owner, the oldest first, none of the last 30 days. pg_temp
-- last: or a caller's own table of that name, with a trigger, would run what the caller likes as the owner.
create function purge_audit_log(retention_seconds integer, at_most integer) returns integer
  language plpgsql strict security definer set search_path = public, pg_temp as $$
declare purged integer;
begin
  if retention_seconds < 30 * 24 * 60 * 60 then
    raise exception 'the audit log keeps everything for 30 days' using errcode = 'insufficient_privilege';
  end if;
  delete from audit_log where id in (
    select id from audit_log where occurred_at < now() - make_interval(secs => retention_seconds)
    order by occurred_at limit at_most for update skip locked);
  get diagnostics purged = row_count;
  return purged;
end $$;
revoke execute on function purge_audit_log from public;
