-- Keyset pages by id, with and without a role; the rare values of the two flags have indexes of their own.
create index users_by_role on users (role, id);
create index users_inactive on users (id) where not is_active;
create index users_inactive_by_role on users (role, id) where not is_active;
create index users_unverified on users (id) where not is_email_verified;
create index users_unverified_by_role on users (role, id) where not is_email_verified;

-- What an account is found by: the beginning of its address, full name, last name or phone. One row a term, with the flags
-- that lists filter by, so that a search goes along one index. Collation "C" compares bytes: a prefix is a range.
create table search_terms (
  user_id bigint not null references users on delete cascade,
  term text collate "C" not null,
  role text not null,
  is_active boolean not null,
  is_email_verified boolean not null,
  primary key (user_id, term)
);
create index search_terms_by_term on search_terms (term, user_id);
create index search_terms_by_role on search_terms (role, term, user_id);
create index search_terms_inactive on search_terms (term, user_id) where not is_active;
create index search_terms_inactive_by_role on search_terms (role, term, user_id) where not is_active;
create index search_terms_unverified on search_terms (term, user_id) where not is_email_verified;
create index search_terms_unverified_by_role on search_terms (role, term, user_id) where not is_email_verified;

-- By trigger, so that no way of changing an account can forget it. Moderators are in no list.
create function refresh_search_terms() returns trigger language plpgsql as $$
declare account bigint := (to_jsonb(new) ->> tg_argv[0])::bigint;
begin
  delete from search_terms where user_id = account;
  insert into search_terms
    select distinct u.id, t.term, u.role, u.is_active, u.is_email_verified
    from users u join user_profiles p on p.user_id = u.id
      cross join lateral (values (u.email_canonical), (lower(p.first_name || ' ' || p.last_name)), (lower(p.last_name)), (p.phone)) t (term)
    where u.id = account and u.role <> 'MO';
  return null;
end $$;

create trigger users_search_terms after update of email_canonical, role, is_active, is_email_verified on users for each row
  when ((old.email_canonical, old.role, old.is_active, old.is_email_verified)
    is distinct from (new.email_canonical, new.role, new.is_active, new.is_email_verified))
  execute function refresh_search_terms('id');
create trigger profiles_search_terms after insert on user_profiles for each row
  execute function refresh_search_terms('user_id');
create trigger profiles_change_search_terms after update on user_profiles for each row
  when ((old.first_name, old.last_name, old.phone) is distinct from (new.first_name, new.last_name, new.phone))
  execute function refresh_search_terms('user_id');
