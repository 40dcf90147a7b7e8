import type { DatabaseSync } from 'node:sqlite';
import { TowerError } from '#kernel/errors.ts';
import type { Migration } from './migration.ts';
import { up as monitoringAndJobs } from './migrations/0001-monitoring-and-jobs.ts';
import { up as eventsAndOutbox } from './migrations/0002-events-and-outbox.ts';
import { up as access } from './migrations/0003-access.ts';
import { up as observations } from './migrations/0004-observations.ts';
import { up as severalTowers } from './migrations/0005-several-towers.ts';
import { up as driftAlerts } from './migrations/0006-drift-alerts.ts';
import { up as pointsAndRollups } from './migrations/metrics-0001-points-and-rollups.ts';

/** Migrations in order; the schema version of a part is the number applied. Never edit a released one. */
export const migrations = {
  'tower.db': [monitoringAndJobs, eventsAndOutbox, access, observations, severalTowers, driftAlerts],
  'metrics.db': [pointsAndRollups],
};

/** The two parts of the store, named after their SQLite files; PostgreSQL holds the tables of both in one database. */
export type Part = keyof typeof migrations;

/**
 * Migrates an SQLite file to the current schema, one transaction per migration.
 * @throws TowerError `conflict` if a newer version of the program wrote it
 */
export function migrateSqlite(file: DatabaseSync, path: string, part: Part): void {
  for (;;) {
    // The version is read inside the write lock: two instances may open one directory at the same time.
    file.exec('begin immediate');
    try {
      const version = Number(file.prepare('pragma user_version').get()?.['user_version'] ?? 0);
      const up = nextMigration(part, version, `${path} has`, 'set another DATA_DIRECTORY');
      if (!up) return;
      for (const statement of up.sqlite) file.exec(statement);
      file.exec(`pragma user_version = ${version + 1}`);
    } catch (error) {
      file.exec('rollback');
      throw error;
    } finally {
      if (file.isTransaction) file.exec('commit');
    }
  }
}

/** The next migration of a part that has applied this many; null if none is left. @throws TowerError `conflict` */
export function nextMigration(part: Part, version: number, location: string, remedy: string): Migration | null {
  const all: Migration[] = migrations[part];
  if (version > all.length)
    throw new TowerError(
      'conflict',
      `${location} schema ${version}, written by a newer version; this version supports up to ${all.length}. Start that version, or ${remedy}`,
    );
  return all[version] ?? null;
}
