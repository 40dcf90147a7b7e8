import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { Kysely, SqliteDialect } from 'kysely';
import { TowerError } from '../kernel/errors.ts';
import { migrate } from './migrate.ts';
import { kyselyDatabase } from './sqlite.ts';
import type { Tables } from './tables.ts';

/** The door to everything that cannot be rebuilt. */
export type Store = {
  db: Kysely<Tables>;
  close(): Promise<void>;
};

/**
 * Opens `tower.db` in a folder, makes it where it is missing, and brings it to the current schema.
 * A write that has returned survives SIGKILL and power cuts (WAL, synchronous=FULL).
 * @throws TowerError `unavailable` with the path and the reason, `conflict` for a newer schema
 */
export async function openStore(directory: string): Promise<Store> {
  const path = join(directory, 'tower.db');
  const file = openFile(directory, path);
  const db = new Kysely<Tables>({ dialect: new SqliteDialect({ database: kyselyDatabase(file) }) });
  try {
    await migrate(db, file, path);
  } catch (error) {
    await db.destroy();
    throw error instanceof TowerError
      ? error
      : new TowerError('unavailable', `${path} cannot be used: ${reason(error)}`, { cause: error });
  }
  return { db, close: () => db.destroy() };
}

function openFile(directory: string, path: string): DatabaseSync {
  try {
    mkdirSync(directory, { recursive: true });
    const file = new DatabaseSync(path);
    file.exec(
      'pragma busy_timeout = 5000; pragma journal_mode = wal; pragma synchronous = full; pragma foreign_keys = on',
    );
    return file;
  } catch (error) {
    throw new TowerError(
      'unavailable',
      `${path} cannot be opened: ${reason(error)}. DATA_DIRECTORY must be a folder this user can write to`,
      { cause: error },
    );
  }
}

const reason = (error: unknown): string => (error instanceof Error ? error.message : String(error));
