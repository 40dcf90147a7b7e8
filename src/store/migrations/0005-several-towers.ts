import type { Migration } from '../migration.ts';

/** Shared state of several instances: leader, job queue, registry snapshots, trained models. */
export const up: Migration = {
  sqlite: [
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
    // The table allows one open job per kind and subject.
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
    // Tells whether two instances have the same secret, without revealing it.
    'create table key_check (id integer primary key check (id = 1), value text not null) strict',
    `create table trained_models (service text primary key, trained_at text not null, body text not null) strict`,
  ],
  // Byte order, as in SQLite, so that pages of names are cut at the same places.
  postgres: [
    `create table leader (
      id bigint primary key check (id = 1),
      holder text collate "C" not null,
      term bigint not null,
      until bigint not null
    )`,
    `create table job_queue (
      id text collate "C" primary key,
      kind text collate "C" not null,
      subject text collate "C" not null,
      key text collate "C" unique,
      payload text collate "C" not null,
      state text collate "C" not null check (state in ('queued', 'running', 'succeeded', 'failed', 'cancelled')),
      attempts bigint not null,
      abandoned bigint not null,
      worker text collate "C",
      leased_until bigint not null,
      created_at text collate "C" not null,
      finished_at text collate "C",
      progress text collate "C",
      result text collate "C",
      error text collate "C"
    )`,
    'create index job_queue_by_kind on job_queue (kind, created_at)',
    `create unique index job_queue_open on job_queue (kind, subject) where state in ('queued', 'running')`,
    `create table registry_snapshots (
      registry text collate "C" primary key,
      fingerprint text collate "C" not null,
      source text collate "C" not null,
      revision bigint not null,
      content text collate "C" not null,
      named text collate "C" not null,
      read_at bigint not null,
      body bytea not null
    )`,
    'create table key_check (id bigint primary key check (id = 1), value text collate "C" not null)',
    `create table trained_models (service text collate "C" primary key, trained_at text collate "C" not null, body text collate "C" not null)`,
  ],
};
