-- Accounts that came from the Django service. Their users.version is 0 until they are changed here.
create table imported_users (
  user_id bigint primary key references users on delete cascade,
  -- SHA-256 of the source's row as it was taken over last, and of the password in it: tells what has changed over there.
  source_hash bytea not null,
  password_hash bytea not null
);

-- For all rows of an insert at once: a row at a time takes longer than everything else in an import of a million accounts.
create function insert_search_terms() returns trigger language plpgsql as $$
begin
  insert into search_terms
    select distinct u.id, t.term, u.role, u.is_active, u.is_email_verified
    from inserted p join users u on u.id = p.user_id
      cross join lateral (values (u.email_canonical), (lower(p.first_name || ' ' || p.last_name)), (lower(p.last_name)), (p.phone)) t (term)
    where u.role <> 'MO';
  return null;
end $$;
drop trigger profiles_search_terms on user_profiles;
create trigger profiles_search_terms after insert on user_profiles referencing new table as inserted for each statement
  execute function insert_search_terms();
