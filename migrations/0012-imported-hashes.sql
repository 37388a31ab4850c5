-- The dearest hash of Django's that is left, found at once: what it costs is what every wrong password has to cost, so that
-- nobody learns by the clock which accounts were imported.
create index users_imported_hash on users
  ((substring(password_hash from '^pbkdf2_sha256\$([0-9]{1,7})\$')::int) desc nulls last)
  where password_hash not like 'v1:%' and password_hash not like '!%';
