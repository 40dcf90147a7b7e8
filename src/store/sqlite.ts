import { chmodSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { TowerError } from '#kernel/errors.ts';
import { makeDirectory } from '#kernel/files.ts';
import { migrateSqlite, type Part } from './migrate.ts';
import { createNotifier } from './notifier.ts';
import { createSqliteDriver, explained } from './sqlite-driver.ts';
import type { Executor, Store } from './store.ts';

/** Metric points may be lost in a power cut but not when the process ends; the outbox survives both. */
const synchronous: Record<Part, string> = { 'tower.db': 'full', 'metrics.db': 'normal' };

/**
 * Opens an SQLite file in a directory, created if missing, and migrates it to the current schema.
 * @throws TowerError `unavailable` with path and reason, `conflict` for a newer schema
 */
export function openSqlite<T>(directory: string, part: Part): Store<T> {
  const path = join(directory, part);
  const writer = openFile(directory, path, part);
  return storeOver<T>(path, writer, openReader(path));
}

/**
 * Opens a file of a running instance read-only, over a connection of its own: in WAL mode it waits for no writer.
 * @throws TowerError `unavailable`
 */
export function openSqliteReader<T>(directory: string, part: Part): Store<T> {
  const path = join(directory, part);
  const file = openReader(path);
  return storeOver<T>(path, file, file);
}

function openReader(path: string): DatabaseSync {
  try {
    return new DatabaseSync(path, { readOnly: true });
  } catch (error) {
    throw explained(error, path);
  }
}

function storeOver<T>(path: string, writer: DatabaseSync, reader: DatabaseSync): Store<T> {
  let db: Promise<Executor<T>> | null = null;
  let fault: string | null = null;
  const onFault = (text: string | null) => {
    // Damage does not go away by itself: other parts of the file may still be readable and writable.
    if (text !== null || !fault?.includes('damaged')) fault = text;
  };
  return {
    engine: 'sqlite',
    db: () => (db ??= kyselyOver<T>({ path, writer, reader, onFault })),
    serialised: async () => undefined,
    now: async () => Date.now(),
    notifier: createNotifier(),
    fault: () => fault,
    close: async () => {
      // Kysely closes the files only if it was used.
      await (await db)?.destroy();
      for (const file of [reader, writer]) if (file.isOpen) file.close();
    },
  };
}

async function kyselyOver<T>(files: Parameters<typeof createSqliteDriver>[0]) {
  const { Kysely, SqliteAdapter, SqliteIntrospector, SqliteQueryCompiler } = await import('kysely');
  // The driver itself serialises writers; reads need not wait for them.
  class Adapter extends SqliteAdapter {
    override get supportsMultipleConnections(): boolean {
      return true;
    }
  }
  return new Kysely<T>({
    dialect: {
      createAdapter: () => new Adapter(),
      createDriver: () => createSqliteDriver(files),
      createIntrospector: (kysely) => new SqliteIntrospector(kysely),
      createQueryCompiler: () => new SqliteQueryCompiler(),
    },
  });
}

function openFile(directory: string, path: string, part: Part): DatabaseSync {
  let file: DatabaseSync | null = null;
  try {
    makeDirectory(directory);
    file = new DatabaseSync(path);
    // The file holds webhook addresses, which may be secrets; SQLite gives -wal and -shm the same mode.
    chmodSync(path, 0o600);
    file.exec(
      `pragma busy_timeout = 5000; pragma journal_mode = wal; pragma synchronous = ${synchronous[part]}; pragma foreign_keys = on`,
    );
    migrateSqlite(file, path, part);
    // From here on, locks are waited for between calls.
    file.exec('pragma busy_timeout = 0');
    return file;
  } catch (error) {
    file?.close();
    throw cannotOpen(path, error);
  }
}

/** The error of a file that cannot be opened; a TowerError unchanged. */
export function cannotOpen(path: string, error: unknown): TowerError {
  if (error instanceof TowerError) return error;
  const reason = error instanceof Error ? error.message : String(error);
  return new TowerError(
    'unavailable',
    `cannot open ${path}: ${reason}. DATA_DIRECTORY must be a directory this user can write to`,
    { cause: error },
  );
}
