-- Events of other services that were handled, written in the transaction of their effect: a redelivery finds its row.
create table inbox (
  handler text not null,
  -- ce_source and ce_id, or topic/partition/offset of a message without.
  event_id text not null,
  handled_at timestamptz not null default now(),
  primary key (handler, event_id)
);
create index inbox_handled on inbox (handled_at);
