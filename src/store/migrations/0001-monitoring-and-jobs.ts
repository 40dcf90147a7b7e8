import type { Migration } from '../migration.ts';

/** Monitored versions and background jobs. */
export const up: Migration = {
  sqlite: [
    `create table monitored_models (
      registry text not null,
      name text not null,
      version text not null,
      model_type text not null check (model_type in ('classifier', 'regressor')),
      registered_by text not null,
      registered_at text not null,
      run_id text,
      primary key (registry, name, version)
    ) strict`,
    `create table jobs (
      name text primary key,
      last_status text not null,
      last_started_at text not null,
      last_finished_at text not null,
      last_error text
    ) strict`,
  ],
  // Byte order, as in SQLite, so that pages of names are cut at the same places.
  postgres: [
    `create table monitored_models (
      registry text collate "C" not null,
      name text collate "C" not null,
      version text collate "C" not null,
      model_type text collate "C" not null check (model_type in ('classifier', 'regressor')),
      registered_by text collate "C" not null,
      registered_at text collate "C" not null,
      run_id text collate "C",
      primary key (registry, name, version)
    )`,
    `create table jobs (
      name text collate "C" primary key,
      last_status text collate "C" not null,
      last_started_at text collate "C" not null,
      last_finished_at text collate "C" not null,
      last_error text collate "C"
    )`,
  ],
};
