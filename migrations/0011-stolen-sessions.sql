-- How often an account's owner was told of a stolen session lately: mails have an end, also to an address that is a stranger's.
create index sessions_stolen on sessions (user_id, ended_at) where end_reason = 'reuse';
