import type { DatabaseSync } from 'node:sqlite';
import { TowerError } from '../kernel/errors.ts';
import { up as monitoringAndJobs } from './migrations/0001-monitoring-and-jobs.ts';
import { up as eventsAndOutbox } from './migrations/0002-events-and-outbox.ts';
import { up as access } from './migrations/0003-access.ts';
import { up as observations } from './migrations/0004-observations.ts';
import { up as pointsAndRollups } from './migrations/metrics-0001-points-and-rollups.ts';

/** In order; the schema version of a database is how many of these it has seen. Never edit one that shipped. */
export const migrations = {
  'tower.db': [monitoringAndJobs, eventsAndOutbox, access, observations],
  'metrics.db': [pointsAndRollups],
};

/**
 * Brings a database to this program's schema, one transaction per migration.
 * @throws TowerError `conflict` where a newer program has written the database
 */
export function migrate(file: DatabaseSync, path: string, migrations: string[][]): void {
  for (;;) {
    // The version is read inside the write lock: two towers may open one folder at the same moment.
    file.exec('begin immediate');
    try {
      const seen = Number(file.prepare('pragma user_version').get()?.['user_version'] ?? 0);
      if (seen > migrations.length) throw newerSchema(path, seen, migrations.length);
      const up = migrations[seen];
      if (!up) return;
      for (const statement of up) file.exec(statement);
      file.exec(`pragma user_version = ${seen + 1}`);
    } catch (error) {
      file.exec('rollback');
      throw error;
    } finally {
      if (file.isTransaction) file.exec('commit');
    }
  }
}

const newerSchema = (path: string, seen: number, known: number): TowerError =>
  new TowerError(
    'conflict',
    `${path} has schema ${seen}, written by a newer version; this one knows up to ${known}. Start that version, or name another DATA_DIRECTORY`,
  );
