import { chmodSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync, type SQLInputValue } from 'node:sqlite';
import type { SqliteDatabase } from 'kysely';
import { TowerError, unavailable } from '#kernel/errors.ts';
import { makeFolder } from '#kernel/files.ts';
import { migrateSqlite, type Part } from './migrate.ts';
import { createNotifier } from './notifier.ts';
import type { Store, View } from './store.ts';

/** Points may be lost by a power cut, never by the end of the process; what is promised to others by neither. */
const synchronous: Record<Part, string> = { 'tower.db': 'full', 'metrics.db': 'normal' };

/**
 * Opens a database file of a folder, makes it where it is missing, and brings it to the current schema.
 * @throws TowerError `unavailable` with the path and the reason, `conflict` for a newer schema
 */
export function openSqlite<T>(directory: string, part: Part): Store<T> {
  const path = join(directory, part);
  const file = openFile(directory, path, part);
  let db: Promise<View<T>> | null = null;
  return {
    engine: 'sqlite',
    db: () => {
      db ??= import('kysely').then(
        ({ Kysely, SqliteDialect }) =>
          new Kysely<T>({ dialect: new SqliteDialect({ database: kyselyDatabase(file, path) }) }),
      );
      return db;
    },
    inTurn: async () => undefined,
    now: async () => Date.now(),
    notifier: createNotifier(),
    close: async () => {
      // Kysely closes the file only if it ever used it.
      await (await db)?.destroy();
      if (file.isOpen) file.close();
    },
  };
}

function openFile(directory: string, path: string, part: Part): DatabaseSync {
  let file: DatabaseSync | null = null;
  try {
    makeFolder(directory);
    file = new DatabaseSync(path);
    // It holds addresses that may be secrets; its companions (-wal, -shm) take its mode.
    chmodSync(path, 0o600);
    file.exec(
      `pragma busy_timeout = 5000; pragma journal_mode = wal; pragma synchronous = ${synchronous[part]}; pragma foreign_keys = on`,
    );
    migrateSqlite(file, path, part);
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

/** Lets Kysely's SQLite dialect, written for another driver, speak to `node:sqlite`. */
function kyselyDatabase(file: DatabaseSync, path: string): SqliteDatabase {
  const said = <R>(work: () => R): R => {
    try {
      return work();
    } catch (error) {
      throw explained(error, path);
    }
  };
  return {
    close: () => file.close(),
    prepare: (text) => {
      // A transaction that reads first and then writes is refused if another process wrote in between; so it waits at its start.
      const statement = said(() => file.prepare(text === 'begin' ? 'begin immediate' : text));
      return {
        reader: statement.columns().length > 0,
        all: (parameters) => said(() => statement.all(...(parameters as SQLInputValue[]))),
        run: (parameters) =>
          // A full disk ends a transaction by itself; to say so a second time would hide why.
          text === 'rollback' && !file.isTransaction
            ? { changes: 0, lastInsertRowid: 0 }
            : said(() => statement.run(...(parameters as SQLInputValue[]))),
        iterate: (parameters) => said(() => statement.iterate(...(parameters as SQLInputValue[]))),
      };
    },
  };
}

/** Result codes of trouble with the file, not with what was asked (sqlite.org/rescode.html). */
const troubles = new Map([
  [5, 'another process has held it locked for 5 s'],
  [8, 'it may only be read'],
  [10, 'the disk does not work as it should'],
  [11, 'it is damaged; "tower store verify" says more'],
  [13, 'the disk is full'],
  [14, 'it cannot be opened'],
  [26, 'it is no database any more'],
]);

function explained(error: unknown, path: string): unknown {
  const code = (error as { errcode?: unknown }).errcode;
  const trouble = typeof code === 'number' ? troubles.get(code & 0xff) : undefined;
  return trouble === undefined ? error : unavailable(`${path} cannot be used: ${trouble}`, error);
}
