import type { Migration } from '../migration.ts';

/** Open drift alerts: versions whose last verdict was drift. */
export const up: Migration = {
  sqlite: [
    `create table drift_alerts (
      registry text not null,
      name text not null,
      version text not null,
      since text not null,
      primary key (registry, name, version)
    ) strict, without rowid`,
  ],
  postgres: [
    `create table drift_alerts (
      registry text collate "C" not null,
      name text collate "C" not null,
      version text collate "C" not null,
      since text collate "C" not null,
      primary key (registry, name, version)
    )`,
  ],
};
