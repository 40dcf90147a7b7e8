import type { Clock } from '#kernel/clock.ts';
import type { Log } from '#kernel/log.ts';
import type { Store } from './store.ts';
import type { Selectable, Tables } from './tables.ts';

/** Long-running work, kept in the store until it has an outcome. */
export type QueuedJob = Selectable<Tables['job_queue']>;

/**
 * Runs one job; the result is stored as JSON. A job may be restarted on another instance after this one died, so
 * running it twice must do no harm; only one outcome is stored. The signal aborts when the job is cancelled, when this
 * instance stops (`isStopping`: the job will be restarted), or when another instance has taken it over. A cancelled
 * job's return value is stored as its result.
 */
export type Work = (
  job: QueuedJob,
  run: { signal: AbortSignal; progress: (now: unknown) => void; isStopping: () => boolean },
) => Promise<unknown>;

export type NewJob = { kind: string; subject: string; payload: unknown; key?: string };

export type QueueOptions = { store: Store; tower: string; clock: Clock; log: Log };
