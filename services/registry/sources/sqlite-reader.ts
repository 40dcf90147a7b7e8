import { Worker } from 'node:worker_threads';
import { TowerError } from '#kernel/errors.ts';
import type { SqliteJob, SqliteNews } from './sqlite.worker.ts';
import type { TableRead, TableRows } from './sqlite-query.ts';

/** Tables by name; a table the store does not have is an empty list. */
export type Tables = Record<string, TableRows>;

/** One worker thread that reads SQLite files; started at the first read, idle in between. */
export type SqliteReader = {
  /** Gives up, and ends the thread, when the signal aborts: a read of a hung file system has no other end. */
  read(path: string, reads: TableRead[], signal: AbortSignal): Promise<Tables>;
  close(): Promise<void>;
};

type Waiting = { tables: Tables; resolve: (tables: Tables) => void; reject: (error: Error) => void; path: string };

export function createSqliteReader(): SqliteReader {
  const waiting = new Map<number, Waiting>();
  let worker: Worker | null = null;
  let lastId = 0;

  const giveUp = (reason: string): void => {
    for (const [id, job] of waiting) {
      waiting.delete(id);
      job.reject(unreadable(job.path, reason));
    }
  };
  const end = async (reason: string): Promise<void> => {
    const ending = worker;
    worker = null;
    giveUp(reason);
    await ending?.terminate();
  };
  const start = (): Worker => {
    const started = new Worker(new URL('./sqlite.worker.ts', import.meta.url));
    started.on('message', (news: SqliteNews) => receive(waiting, news));
    started.on('error', (error) => {
      if (worker === started) worker = null;
      giveUp(error.message);
    });
    return started;
  };

  return {
    read: async (path, reads, signal) => {
      signal.throwIfAborted();
      worker ??= start();
      // Something awaits the answer, so the worker must keep the process alive until it came.
      worker.ref();
      lastId += 1;
      const answer = new Promise<Tables>((resolve, reject) =>
        waiting.set(lastId, { tables: {}, resolve, reject, path }),
      );
      worker.postMessage({ id: lastId, path, reads } satisfies SqliteJob);
      const abort = () => void end('the time allowed is over');
      signal.addEventListener('abort', abort, { once: true });
      return answer.finally(() => {
        signal.removeEventListener('abort', abort);
        if (waiting.size === 0) worker?.unref();
      });
    },
    close: () => end('the reader was closed'),
  };
}

function receive(waiting: Map<number, Waiting>, news: SqliteNews): void {
  const job = waiting.get(news.id);
  if (!job) return;
  if (news.kind === 'rows') {
    const rows = JSON.parse(news.json) as TableRows;
    const known = job.tables[news.table];
    if (known) known.push(...rows);
    else job.tables[news.table] = rows;
    return;
  }
  if (news.kind === 'restart') {
    job.tables = {};
    return;
  }
  waiting.delete(news.id);
  if (news.kind === 'done') job.resolve(job.tables);
  else job.reject(unreadable(job.path, news.reason));
}

const unreadable = (path: string, reason: string): TowerError =>
  new TowerError('unavailable', `the SQLite file ${path} cannot be read: ${reason}`, { retryAfterSeconds: 30 });
