/** What several towers over one store share: who leads, long work, the registry as it was read last, trained models. */
export const up = [
  // `until` and `leased_until` are milliseconds by the clock of the database, or of the one machine.
  `create table leader (
    id integer primary key check (id = 1),
    holder text not null,
    term integer not null,
    until integer not null
  ) strict`,
  `create table job_queue (
    id text primary key,
    kind text not null,
    subject text not null,
    key text unique,
    payload text not null,
    state text not null check (state in ('queued', 'running', 'succeeded', 'failed', 'cancelled')),
    attempts integer not null,
    abandoned integer not null,
    worker text,
    leased_until integer not null,
    created_at text not null,
    finished_at text,
    progress text,
    result text,
    error text
  ) strict`,
  'create index job_queue_by_kind on job_queue (kind, created_at)',
  // One at a time for each subject: the second one is refused by whoever keeps the table.
  `create unique index job_queue_open on job_queue (kind, subject) where state in ('queued', 'running')`,
  `create table registry_snapshots (
    registry text primary key,
    fingerprint text not null,
    source text not null,
    revision integer not null,
    content text not null,
    named text not null,
    read_at integer not null,
    body blob not null
  ) strict`,
  // Tells whether two towers have the same secret, without telling what it is.
  'create table key_check (id integer primary key check (id = 1), value text not null) strict',
  `create table trained_models (service text primary key, trained_at text not null, body text not null) strict`,
];
