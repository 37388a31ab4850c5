-- How often something was tried; the columns are those of rate-limiter-flexible. Unlogged: a count is not worth waiting for
-- the disk at every sign-in. It outlives every restart of the service; what PostgreSQL loses in a crash begins anew.
create unlogged table attempts (
  -- Name of the budget (lib/budgets.ts) and what it is counted for: an IP network, or the SHA-256 of an address.
  key text primary key,
  points integer not null default 0,
  -- Milliseconds since 1970.
  expire bigint
);
create index attempts_expired on attempts (expire);
