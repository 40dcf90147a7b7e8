import type { Clock } from '#kernel/clock.ts';
import type { Log } from '#kernel/log.ts';
import type { Store } from './store.ts';
import type { Selectable, Tables } from './tables.ts';

/** Work that takes long, kept in the store until it has an outcome. */
export type QueuedJob = Selectable<Tables['job_queue']>;

/**
 * Does one job. Its result is kept as JSON. It may be begun again on another tower after this one died, so it must not
 * matter if it is done twice; but only one outcome is kept. The signal aborts when the job is cancelled, the tower stops
 * (`isStopping`: it will be begun again), or another tower has taken it over. What a job that is cancelled returns is kept
 * as its result.
 */
export type Work = (
  job: QueuedJob,
  run: { signal: AbortSignal; progress: (now: unknown) => void; isStopping: () => boolean },
) => Promise<unknown>;

export type NewJob = { kind: string; subject: string; payload: unknown; key?: string };

export type QueueOptions = { store: Store; tower: string; clock: Clock; log: Log };
