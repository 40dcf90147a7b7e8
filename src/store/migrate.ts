import type { DatabaseSync } from 'node:sqlite';
import { TowerError } from '#kernel/errors.ts';
import type { Migration } from './migration.ts';
import { up as monitoringAndJobs } from './migrations/0001-monitoring-and-jobs.ts';
import { up as eventsAndOutbox } from './migrations/0002-events-and-outbox.ts';
import { up as access } from './migrations/0003-access.ts';
import { up as observations } from './migrations/0004-observations.ts';
import { up as severalTowers } from './migrations/0005-several-towers.ts';
import { up as pointsAndRollups } from './migrations/metrics-0001-points-and-rollups.ts';

/** In order; the schema version of a part is how many of these it has seen. Never edit one that shipped. */
export const migrations = {
  'tower.db': [monitoringAndJobs, eventsAndOutbox, access, observations, severalTowers],
  'metrics.db': [pointsAndRollups],
};

/** The two parts of the store, by the names of their files; PostgreSQL has the tables of both in one database. */
export type Part = keyof typeof migrations;

/**
 * Brings a file to this program's schema, one transaction per migration.
 * @throws TowerError `conflict` where a newer program has written it
 */
export function migrateSqlite(file: DatabaseSync, path: string, part: Part): void {
  for (;;) {
    // The version is read inside the write lock: two towers may open one folder at the same moment.
    file.exec('begin immediate');
    try {
      const seen = Number(file.prepare('pragma user_version').get()?.['user_version'] ?? 0);
      const up = nextMigration(part, seen, `${path} has`, 'name another DATA_DIRECTORY');
      if (!up) return;
      for (const statement of up.sqlite) file.exec(statement);
      file.exec(`pragma user_version = ${seen + 1}`);
    } catch (error) {
      file.exec('rollback');
      throw error;
    } finally {
      if (file.isTransaction) file.exec('commit');
    }
  }
}

/** What is to be done next to a part that has seen so many; null = nothing. @throws TowerError `conflict` */
export function nextMigration(part: Part, seen: number, where: string, instead: string): Migration | null {
  const all: Migration[] = migrations[part];
  if (seen > all.length)
    throw new TowerError(
      'conflict',
      `${where} schema ${seen}, written by a newer version; this one knows up to ${all.length}. Start that version, or ${instead}`,
    );
  return all[seen] ?? null;
}
