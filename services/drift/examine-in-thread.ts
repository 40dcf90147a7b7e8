import { TowerError } from '#kernel/errors.ts';
import { entryUrl } from '#kernel/program-files.ts';
import type { WorkerPool } from '#kernel/worker-pool.ts';
import type { Place } from '#store/store.ts';
import type { ExamineResult, ExamineTask } from './drift.worker.ts';
import type { Examination, Examined } from './examine.ts';

/** Runs `examine` in worker threads, which are ended at their deadline and when the client disconnects. */

/** Path of the worker file. */
export const driftWorker = entryUrl('drift.worker');

/** @throws TowerError as `examine`; `unavailable` after the timeout, `limited` for too much work of one client */
export type Examine = (examination: Examination, disconnected?: AbortSignal) => Promise<Examined[]>;

type Deps = { pool: WorkerPool; place: Place; timeoutMs: number };

export function examineInThread({ pool, place, timeoutMs }: Deps): Examine {
  return async (examination, disconnected) => {
    const limit = AbortSignal.timeout(timeoutMs);
    const signal = disconnected ? AbortSignal.any([limit, disconnected]) : limit;
    const task: ExamineTask = { place, examination };
    const result = await pool.run<ExamineResult>('run', task, { signal }).catch((error: unknown) => {
      if (!limit.aborted) throw error;
      throw new TowerError(
        'unavailable',
        `the assessment of drift timed out after ${timeoutMs / 1000} s (METRICS_QUERY_TIMEOUT_SECONDS)`,
        { retryAfterSeconds: 30 },
      );
    });
    if ('examined' in result) return result.examined;
    const { code, message, details } = result.error;
    throw new TowerError(code, message, { details, ...(code === 'unavailable' ? { retryAfterSeconds: 5 } : {}) });
  };
}
