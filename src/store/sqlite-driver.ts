import type { DatabaseSync, SQLInputValue } from 'node:sqlite';
import { setTimeout as sleep } from 'node:timers/promises';
import type { CompiledQuery, DatabaseConnection, Driver, QueryResult } from 'kysely';
import { unavailable } from '#kernel/errors.ts';

/**
 * Kysely's driver for node:sqlite, whose calls block the event loop: a lock of another process is waited for between
 * calls, not in them. Selects outside of transactions use a read-only connection, which waits for no writer in WAL mode.
 */

/** Maximum wait for a lock of another process. */
const lockTimeoutMs = 5_000;
const firstPauseMs = 5;
const maxPauseMs = 100;

/** `writer`: with `busy_timeout` 0; `reader`: a read-only connection to the same file. */
type Files = {
  path: string;
  writer: DatabaseSync;
  reader: DatabaseSync;
  /** Called with the fault of the files, and with null after a successful write. */
  onFault: (text: string | null) => void;
};

export function createSqliteDriver(files: Files): Driver {
  const { writer, reader } = files;
  const lock = createLock();
  /** Connections in a transaction, and how to let the next writer begin. */
  const transactions = new WeakMap<DatabaseConnection, () => void>();
  const end = (connection: DatabaseConnection): void => {
    transactions.get(connection)?.();
    transactions.delete(connection);
  };
  return {
    init: async () => undefined,
    acquireConnection: async () => {
      const connection: DatabaseConnection = {
        executeQuery: async <R>(query: CompiledQuery) => {
          if (transactions.has(connection)) return guarded(files, () => execute<R>(writer, query));
          if (query.query.kind === 'SelectQueryNode') return patiently(files, () => execute<R>(reader, query));
          return asWriter(files, lock, () => execute<R>(writer, query));
        },
        streamQuery: () => {
          throw new Error('results are not streamed');
        },
      };
      return connection;
    },
    beginTransaction: async (connection) => {
      const since = performance.now();
      const release = await lock();
      try {
        // A transaction that reads and then writes would be refused if another process wrote in between.
        await patiently(files, () => writer.exec('begin immediate'), since);
      } catch (error) {
        release();
        throw error;
      }
      transactions.set(connection, release);
    },
    commitTransaction: async (connection) => {
      guarded(files, () => writer.exec('commit'));
      files.onFault(null);
      end(connection);
    },
    rollbackTransaction: async (connection) => {
      // A full disk ends the transaction itself; the error of a second rollback would hide the reason.
      if (transactions.has(connection) && writer.isTransaction) guarded(files, () => writer.exec('rollback'));
      end(connection);
    },
    releaseConnection: async (connection) => end(connection),
    destroy: async () => {
      for (const file of [reader, writer]) if (file.isOpen) file.close();
    },
  };
}

/** A write outside of a transaction, when no other one is under way. */
async function asWriter<R>(files: Files, lock: () => Promise<() => void>, work: () => R): Promise<R> {
  const since = performance.now();
  const release = await lock();
  try {
    const result = await patiently(files, work, since);
    files.onFault(null);
    return result;
  } finally {
    release();
  }
}

/** Calls the database once. @throws TowerError `unavailable` for a fault of the file */
function guarded<R>(files: Files, work: () => R): R {
  try {
    return work();
  } catch (error) {
    throw reported(error, files);
  }
}

/** Calls the database until it is not locked. @throws TowerError `unavailable` after the timeout */
async function patiently<R>(files: Files, work: () => R, since = performance.now()): Promise<R> {
  for (let pauseMs = firstPauseMs; ; pauseMs = Math.min(2 * pauseMs, maxPauseMs)) {
    try {
      return work();
    } catch (error) {
      if (!isBusy(error) || performance.now() - since > lockTimeoutMs) throw reported(error, files);
    }
    await sleep(pauseMs);
  }
}

function execute<R>(file: DatabaseSync, { sql, parameters }: CompiledQuery): QueryResult<R> {
  const statement = file.prepare(sql);
  const values = parameters as SQLInputValue[];
  if (statement.columns().length > 0) return { rows: statement.all(...values) as R[] };
  const { changes, lastInsertRowid } = statement.run(...values);
  return { rows: [], numAffectedRows: BigInt(changes), insertId: BigInt(lastInsertRowid) };
}

/** Grants one holder at a time, in the order of requests; the result releases it. */
function createLock(): () => Promise<() => void> {
  let last = Promise.resolve();
  return async () => {
    const before = last;
    const { promise, resolve } = Promise.withResolvers<void>();
    last = promise;
    await before;
    return resolve;
  };
}

const busy = 5;
/** Result codes of file faults rather than faults of the statement (sqlite.org/rescode.html). */
const faultTexts = new Map([
  [busy, `another process has locked it for ${lockTimeoutMs / 1000} s`],
  [8, 'it is read-only'],
  [10, 'disk I/O error'],
  [11, 'it is damaged; run "tower store verify" for details'],
  [13, 'the disk is full'],
  [14, 'it cannot be opened'],
  [26, 'it is not a database'],
]);

/** Whether another process has locked the file. */
export const isBusy = (error: unknown): boolean => codeOf(error) === busy;

const codeOf = (error: unknown): number | null => {
  const code = (error as { errcode?: unknown }).errcode;
  return typeof code === 'number' ? code & 0xff : null;
};

function reported(error: unknown, { path, onFault }: Files): unknown {
  const translated = explained(error, path);
  // A lock is not a fault of the files.
  if (translated !== error && !isBusy(error)) onFault((translated as Error).message);
  return translated;
}

/** A file fault as TowerError `unavailable`; other errors unchanged. */
export function explained(error: unknown, path: string): unknown {
  const failure = faultTexts.get(codeOf(error) ?? 0);
  return failure === undefined ? error : unavailable(`cannot use ${path}: ${failure}`, error);
}
