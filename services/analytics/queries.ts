import type { Clock } from '#kernel/clock.ts';
import { TowerError } from '#kernel/errors.ts';
import { entryUrl } from '#kernel/program-files.ts';
import type { WorkerPool } from '#kernel/worker-pool.ts';
import type { Place } from '#store/store.ts';
import type { ReadResult, ReadTask } from './analytics.worker.ts';
import type { Reads } from './reads.ts';

/** Runs reads of metric points in worker threads, which are ended at their deadline and when the client disconnects. */

/** Path of the worker file. */
export const analyticsWorker = entryUrl('analytics.worker');

/** An answer as JSON in UTF-8. */
export type Json = Uint8Array;
type Arguments<Name extends keyof Reads> = Parameters<Reads[Name]> extends [number, ...infer Rest] ? Rest : never;

export type Query = <Name extends keyof Reads>(
  name: Name,
  args: Arguments<Name>,
  disconnected?: AbortSignal,
) => Promise<Json>;

type Deps = {
  pool: WorkerPool;
  place: Place;
  clock: Clock;
  timeoutMs: number;
  rawRetentionDays: number;
  /** Called after each read: why the store was unavailable, null if it was not. */
  onRead: (fault: string | null) => void;
};

/** @throws TowerError as the read; `unavailable` after the timeout, with `details.errorType` as in Prometheus' API */
export function createQuery({ pool, place, clock, timeoutMs, rawRetentionDays, onRead }: Deps): Query {
  return async (name, args, disconnected) => {
    const limit = AbortSignal.timeout(timeoutMs);
    const signal = disconnected ? AbortSignal.any([limit, disconnected]) : limit;
    const task: ReadTask = { place, rawRetentionDays, name, now: clock.now(), args };
    const result = await pool.run<ReadResult>('read', task, { signal }).catch((error: unknown) => {
      if (limit.aborted) throw timedOut(timeoutMs);
      throw error;
    });
    if ('json' in result) {
      onRead(null);
      return result.json;
    }
    const { code, message, details } = result.error;
    if (code === 'unavailable') onRead(message);
    throw new TowerError(code, message, { details, ...(code === 'unavailable' ? { retryAfterSeconds: 5 } : {}) });
  };
}

const timedOut = (timeoutMs: number) =>
  new TowerError(
    'unavailable',
    `query timed out after ${timeoutMs / 1000} s (METRICS_QUERY_TIMEOUT_SECONDS); request fewer series or a shorter time range`,
    { details: { errorType: 'timeout' }, retryAfterSeconds: 30 },
  );
