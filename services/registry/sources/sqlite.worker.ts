import { parentPort } from 'node:worker_threads';
import { readTables, type TableRead } from './sqlite-query.ts';

/** Reads SQLite files off the main thread: node:sqlite is synchronous. Rows travel as JSON text, 500 at a time. */
export type SqliteJob = { id: number; path: string; reads: TableRead[] };
export type SqliteNews =
  | { id: number; kind: 'rows'; table: string; json: string }
  | { id: number; kind: 'restart' }
  | { id: number; kind: 'done' }
  | { id: number; kind: 'failed'; reason: string };

const port = parentPort;
const post = (news: SqliteNews) => port?.postMessage(news);

port?.on('message', ({ id, path, reads }: SqliteJob) => {
  try {
    readTables(
      path,
      reads,
      (table, rows) => post({ id, kind: 'rows', table, json: JSON.stringify(rows) }),
      () => post({ id, kind: 'restart' }),
    );
    post({ id, kind: 'done' });
  } catch (error) {
    post({ id, kind: 'failed', reason: error instanceof Error ? error.message : String(error) });
  }
});
