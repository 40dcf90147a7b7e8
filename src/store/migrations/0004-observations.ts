import type { Migration } from '../migration.ts';

/** Observations of model versions, and their pinned references. */
export const up: Migration = {
  sqlite: [
    `create table observations (
      registry text not null,
      name text not null,
      version text not null,
      key text not null,
      kind text not null check (kind in ('value', 'samples', 'histogram')),
      subject text not null,
      dataset text not null,
      at text not null,
      payload text not null,
      received_at text not null,
      primary key (registry, name, version, key)
    ) strict, without rowid`,
    'create index observations_by_time on observations (registry, name, version, at)',
    `create table drift_baselines (
      registry text not null,
      name text not null,
      version text not null,
      subject text not null,
      payload text not null,
      pinned_by text not null,
      pinned_at text not null,
      primary key (registry, name, version, subject)
    ) strict, without rowid`,
  ],
  // Byte order, as in SQLite, so that pages of names are cut at the same places.
  postgres: [
    `create table observations (
      registry text collate "C" not null,
      name text collate "C" not null,
      version text collate "C" not null,
      key text collate "C" not null,
      kind text collate "C" not null check (kind in ('value', 'samples', 'histogram')),
      subject text collate "C" not null,
      dataset text collate "C" not null,
      at text collate "C" not null,
      payload text collate "C" not null,
      received_at text collate "C" not null,
      primary key (registry, name, version, key)
    )`,
    'create index observations_by_time on observations (registry, name, version, at)',
    `create table drift_baselines (
      registry text collate "C" not null,
      name text collate "C" not null,
      version text collate "C" not null,
      subject text collate "C" not null,
      payload text collate "C" not null,
      pinned_by text collate "C" not null,
      pinned_at text collate "C" not null,
      primary key (registry, name, version, subject)
    )`,
  ],
};
