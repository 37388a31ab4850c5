-- Keyset pages by id, with and without a role; the rare values of the two flags have indexes of their own.
create index users_by_role on users (role, id);
create index users_inactive on users (id) where not is_active;
create index users_unverified on users (id) where not is_email_verified;

-- Prefix search: one index a term. Collation "C" compares bytes, so a prefix is a range in every database.
create index users_email_prefix on users (email_canonical collate "C", id);
create index profiles_full_name_prefix on user_profiles (lower(first_name || ' ' || last_name) collate "C", user_id);
create index profiles_last_name_prefix on user_profiles (lower(last_name) collate "C", user_id);
create index profiles_phone_prefix on user_profiles (phone collate "C", user_id);
