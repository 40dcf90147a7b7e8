import { chmodSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync, type SQLInputValue } from 'node:sqlite';
import type { SqliteDatabase } from 'kysely';
import { TowerError, unavailable } from '#kernel/errors.ts';
import { makeFolder } from '#kernel/files.ts';
import { migrateSqlite, type Part } from './migrate.ts';
import { createNotifier } from './notifier.ts';
import type { Store, View } from './store.ts';

/** Metric points may be lost in a power cut but not when the process ends; the outbox survives both. */
const synchronous: Record<Part, string> = { 'tower.db': 'full', 'metrics.db': 'normal' };

/**
 * Opens an SQLite file in a folder, created if missing, and migrates it to the current schema.
 * @throws TowerError `unavailable` with path and reason, `conflict` for a newer schema
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
      // Kysely closes the file only if it was used.
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
    // The file holds webhook addresses, which may be secrets; SQLite gives -wal and -shm the same mode.
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

/** Adapts `node:sqlite` to Kysely's SQLite dialect, which was written for another driver. */
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
      // SQLite refuses a transaction that reads and then writes if another process wrote in between; BEGIN IMMEDIATE
      // waits at the start instead.
      const statement = said(() => file.prepare(text === 'begin' ? 'begin immediate' : text));
      return {
        reader: statement.columns().length > 0,
        all: (parameters) => said(() => statement.all(...(parameters as SQLInputValue[]))),
        run: (parameters) =>
          // A full disk ends the transaction itself; the error of a second rollback would hide the reason.
          text === 'rollback' && !file.isTransaction
            ? { changes: 0, lastInsertRowid: 0 }
            : said(() => statement.run(...(parameters as SQLInputValue[]))),
        iterate: (parameters) => said(() => statement.iterate(...(parameters as SQLInputValue[]))),
      };
    },
  };
}

/** Result codes of file faults rather than faults of the statement (sqlite.org/rescode.html). */
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
