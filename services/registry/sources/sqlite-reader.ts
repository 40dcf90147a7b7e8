import { TowerError } from '#kernel/errors.ts';
import { entryUrl } from '#kernel/program-files.ts';
import { createWorkerPool } from '#kernel/worker-pool.ts';
import { createYielder } from '#kernel/yield-event-loop.ts';
import type { Chunk } from './sqlite.worker.ts';
import type { TableRead, TableRows } from './sqlite-query.ts';

/** Rows by table name; a table missing in the store is an empty list. */
export type Tables = Record<string, TableRows>;

/** A thread that reads SQLite files, because node:sqlite is synchronous. Started at the first read, ended when idle. */
export type SqliteReader = {
  /**
   * Terminates the thread when the signal aborts: a read from a hung file system never returns.
   * @throws TowerError `unavailable` with path and reason
   */
  read(path: string, reads: TableRead[], signal: AbortSignal): Promise<Tables>;
  close(): Promise<void>;
};

/** Maximum reads that wait for the thread. */
const maxWaiting = 256;

export function createSqliteReader(): SqliteReader {
  const pool = createWorkerPool(entryUrl('sqlite.worker'), { threads: 1, queue: maxWaiting });
  const isClosed = new AbortController();
  return {
    read: async (path, reads, signal) => {
      signal.throwIfAborted();
      const chunks = await pool.run<Chunk[]>('readChunks', { path, reads }, { signal }).catch((error: unknown) => {
        throw unreadable(path, reasonOf(error, signal, isClosed.signal));
      });
      return parsed(chunks);
    },
    close: async () => {
      isClosed.abort();
      await pool.close();
    },
  };
}

/** Rows are transferred as JSON, so that parsing them can yield to the event loop. */
async function parsed(chunks: Chunk[]): Promise<Tables> {
  const tables: Tables = {};
  const yielder = createYielder();
  const decoder = new TextDecoder();
  for (const [table, json] of chunks) {
    (tables[table] ??= []).push(...(JSON.parse(decoder.decode(json)) as TableRows));
    if (yielder.due()) await yielder.yieldNow();
  }
  return tables;
}

function reasonOf(error: unknown, signal: AbortSignal, closed: AbortSignal): string {
  if (closed.aborted) return 'the reader was closed';
  if (signal.aborted) return 'timed out';
  return error instanceof Error ? error.message : String(error);
}

const unreadable = (path: string, reason: string): TowerError =>
  new TowerError('unavailable', `cannot read the SQLite file ${path}: ${reason}`, { retryAfterSeconds: 30 });
