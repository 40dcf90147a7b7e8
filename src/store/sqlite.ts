import { chmodSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync, type SQLInputValue } from 'node:sqlite';
import type { SqliteDatabase } from 'kysely';
import { TowerError, unavailable } from '#kernel/errors.ts';
import { makeDirectory } from '#kernel/files.ts';
import { migrateSqlite, type Part } from './migrate.ts';
import { createNotifier } from './notifier.ts';
import type { Executor, Store } from './store.ts';

/** Metric points may be lost in a power cut but not when the process ends; the outbox survives both. */
const synchronous: Record<Part, string> = { 'tower.db': 'full', 'metrics.db': 'normal' };

/**
 * Opens an SQLite file in a directory, created if missing, and migrates it to the current schema.
 * @throws TowerError `unavailable` with path and reason, `conflict` for a newer schema
 */
export function openSqlite<T>(directory: string, part: Part): Store<T> {
  const path = join(directory, part);
  return storeOver<T>(openFile(directory, path, part), path);
}

/**
 * Opens a file of a running instance read-only, over a connection of its own: in WAL mode it waits for no writer.
 * @throws TowerError `unavailable`
 */
export function openSqliteReader<T>(directory: string, part: Part): Store<T> {
  const path = join(directory, part);
  try {
    return storeOver<T>(new DatabaseSync(path, { readOnly: true, timeout: 1_000 }), path);
  } catch (error) {
    throw explained(error, path);
  }
}

function storeOver<T>(file: DatabaseSync, path: string): Store<T> {
  let db: Promise<Executor<T>> | null = null;
  return {
    engine: 'sqlite',
    db: () => {
      db ??= import('kysely').then(
        ({ Kysely, SqliteDialect }) =>
          new Kysely<T>({ dialect: new SqliteDialect({ database: kyselyDatabase(file, path) }) }),
      );
      return db;
    },
    serialised: async () => undefined,
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
    makeDirectory(directory);
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
      `cannot open ${path}: ${reason}. DATA_DIRECTORY must be a directory this user can write to`,
      { cause: error },
    );
  }
}

/** Adapts `node:sqlite` to Kysely's SQLite dialect, which was written for another driver. */
function kyselyDatabase(file: DatabaseSync, path: string): SqliteDatabase {
  const guarded = <R>(work: () => R): R => {
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
      const statement = guarded(() => file.prepare(text === 'begin' ? 'begin immediate' : text));
      return {
        reader: statement.columns().length > 0,
        all: (parameters) => guarded(() => statement.all(...(parameters as SQLInputValue[]))),
        run: (parameters) =>
          // A full disk ends the transaction itself; the error of a second rollback would hide the reason.
          text === 'rollback' && !file.isTransaction
            ? { changes: 0, lastInsertRowid: 0 }
            : guarded(() => statement.run(...(parameters as SQLInputValue[]))),
        iterate: (parameters) => guarded(() => statement.iterate(...(parameters as SQLInputValue[]))),
      };
    },
  };
}

/** Result codes of file faults rather than faults of the statement (sqlite.org/rescode.html). */
const faultTexts = new Map([
  [5, 'another process has locked it for 5 s'],
  [8, 'it is read-only'],
  [10, 'disk I/O error'],
  [11, 'it is damaged; run "tower store verify" for details'],
  [13, 'the disk is full'],
  [14, 'it cannot be opened'],
  [26, 'it is not a database'],
]);

function explained(error: unknown, path: string): unknown {
  const code = (error as { errcode?: unknown }).errcode;
  const failure = typeof code === 'number' ? faultTexts.get(code & 0xff) : undefined;
  return failure === undefined ? error : unavailable(`cannot use ${path}: ${failure}`, error);
}
