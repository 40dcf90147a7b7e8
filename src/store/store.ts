import { chmodSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import type { Kysely, Transaction as KyselyTransaction } from 'kysely';
import { TowerError } from '../kernel/errors.ts';
import { makeFolder } from '../kernel/files.ts';
import type { MetricTables } from './metric-tables.ts';
import { migrate, migrations } from './migrate.ts';
import { kyselyDatabase } from './sqlite.ts';
import type { Tables } from './tables.ts';

/** Everything done on it is kept whole or not at all. Others' statements wait until it is over. */
export type Transaction<T = Tables> = KyselyTransaction<T>;

/** What statements are made on: the database, or a transaction of it. */
export type View<T = Tables> = Kysely<T>;

/** The door to everything that cannot be rebuilt. */
export type Store<T = Tables> = {
  /** The query builder, loaded at the first query: its 300 modules would hold up every start. */
  db(): Promise<View<T>>;
  close(): Promise<void>;
};

/** The metric points. */
export type MetricStore = Store<MetricTables>;

/**
 * Opens `tower.db` in a folder, makes it where it is missing, and brings it to the current schema.
 * A write that has returned survives SIGKILL and power cuts (WAL, synchronous=FULL).
 * @throws TowerError `unavailable` with the path and the reason, `conflict` for a newer schema
 */
export const openStore = (directory: string): Store => open<Tables>(directory, 'tower.db', 'full');

/**
 * Opens `metrics.db` beside it. A write that has returned survives SIGKILL; a power cut may take the last seconds, never
 * the file (WAL, synchronous=NORMAL): sixteen times as many commits a second.
 * @throws TowerError as `openStore`
 */
export const openMetricStore = (directory: string): MetricStore =>
  open<MetricTables>(directory, 'metrics.db', 'normal');

function open<T>(directory: string, name: keyof typeof migrations, synchronous: 'full' | 'normal'): Store<T> {
  const file = openFile(directory, name, synchronous);
  let db: Promise<View<T>> | null = null;
  return {
    db: () => {
      db ??= import('kysely').then(
        ({ Kysely, SqliteDialect }) =>
          new Kysely<T>({ dialect: new SqliteDialect({ database: kyselyDatabase(file) }) }),
      );
      return db;
    },
    close: async () => {
      // Kysely closes the file only if it ever used it.
      await (await db)?.destroy();
      if (file.isOpen) file.close();
    },
  };
}

function openFile(directory: string, name: keyof typeof migrations, synchronous: string): DatabaseSync {
  const path = join(directory, name);
  let file: DatabaseSync | null = null;
  try {
    makeFolder(directory);
    file = new DatabaseSync(path);
    // It holds addresses that may be secrets; its companions (-wal, -shm) take its mode.
    chmodSync(path, 0o600);
    file.exec(
      `pragma busy_timeout = 5000; pragma journal_mode = wal; pragma synchronous = ${synchronous}; pragma foreign_keys = on`,
    );
    migrate(file, path, migrations[name]);
    return file;
  } catch (error) {
    file?.close();
    if (error instanceof TowerError) throw error;
    const reason = error instanceof Error ? error.message : String(error);
    throw new TowerError(
      'unavailable',
      `${path} cannot be opened: ${reason}. DATA_DIRECTORY must be a folder this user can write to`,
      { cause: error },
    );
  }
}
