/** What a registry looked like when it was last journaled, what changed since, and what is to be sent to whom. */
export const up = [
  `create table registry_journals (
    registry text primary key,
    source text not null,
    revision integer not null,
    recorded_since text not null,
    read_at text not null
  ) strict`,
  `create table registry_state (
    registry text not null,
    name text not null,
    version text not null,
    state text not null,
    primary key (registry, name, version)
  ) strict, without rowid`,
  `create table registry_events (
    id integer primary key autoincrement,
    registry text not null,
    type text not null,
    name text not null,
    version text,
    alias text,
    before text,
    after text,
    changed_at text,
    not_before text not null,
    observed_at text not null
  ) strict`,
  'create index registry_events_by_name on registry_events (registry, name, id)',
  `create table webhooks (
    id text primary key,
    url text not null,
    description text not null,
    filter text not null,
    state text not null check (state in ('active', 'gone')),
    created_by text not null,
    created_at text not null
  ) strict`,
  `create table outbox (
    id integer primary key autoincrement,
    kind text not null,
    key text not null unique,
    payload text not null,
    created_at text not null
  ) strict`,
  `create table outbox_deliveries (
    id integer primary key autoincrement,
    message_id integer not null references outbox (id) on delete cascade,
    recipient text not null,
    state text not null check (state in ('due', 'sending', 'delivered', 'dead')),
    due_at text not null,
    attempts integer not null,
    uncertain integer not null,
    last_status integer,
    last_error text,
    last_attempt_at text,
    unique (message_id, recipient)
  ) strict`,
  'create index outbox_deliveries_by_due on outbox_deliveries (state, due_at)',
  'create index outbox_deliveries_by_recipient on outbox_deliveries (recipient, id)',
  'create table seen_deliveries (id text primary key, seen_at text not null) strict',
];
