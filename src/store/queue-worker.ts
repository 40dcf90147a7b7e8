import type { ExpressionBuilder } from 'kysely';
import { publicText } from '#kernel/errors.ts';
import type { QueuedJob, QueueOptions, Work } from './queue-job.ts';
import { storableText } from './storable.ts';
import type { Store } from './store.ts';
import type { Tables } from './tables.ts';

/** The worker's side of the queue: claims a job, renews its lease while it runs, stores its outcome. */

/** States without an outcome. */
export const open = ['queued', 'running'] as const;

/** Lease of a running job, after which another instance restarts it, and the renewal interval. */
const leaseMs = 12_000;
const renewalMs = 3_000;
/** Minimum interval between writes of progress. */
const progressMs = 250;

/** A lease that is over, or longer than any that the store’s clock can have granted: it was set back. */
const isExpired = (now: number) => (row: ExpressionBuilder<Tables, 'job_queue'>) =>
  row.or([row('leased_until', '<', now), row('leased_until', '>', now + 2 * leaseMs)]);

/** Claims the oldest queued job of a kind, or one whose lease expired. */
export async function claim(options: QueueOptions, kind: string, maxAbandoned: number): Promise<QueuedJob | null> {
  const { store, tower } = options;
  const db = await store.db();
  for (;;) {
    const now = await store.now();
    const due = await db
      .selectFrom('job_queue')
      .select(['id', 'attempts', 'state', 'abandoned'])
      .where('kind', '=', kind)
      .where('state', 'in', open)
      .where(isExpired(now))
      .orderBy('created_at')
      .orderBy('id')
      .limit(1)
      .executeTakeFirst();
    if (!due) return null;
    const abandoned = due.abandoned + (due.state === 'running' ? 1 : 0);
    if (abandoned >= maxAbandoned) {
      const error = `worker died ${abandoned} times; not retrying`;
      await settle(options, kind, due.id, { state: 'failed', error }, due.attempts);
      continue;
    }
    // Two instances may read the same job; the second finds the attempt count changed and tries the next.
    const job = await db
      .updateTable('job_queue')
      .set({ state: 'running', attempts: due.attempts + 1, abandoned, worker: tower, leased_until: now + leaseMs })
      .where('id', '=', due.id)
      .where('attempts', '=', due.attempts)
      .where(isExpired(now))
      .where('state', 'in', open)
      .returningAll()
      .executeTakeFirst();
    if (job) return job;
  }
}

type Outcome = { state: 'succeeded'; result: string } | { state: 'failed'; error: string } | { state: 'cancelled' };

/**
 * Stores a job's outcome, once. `attempts`: only if this is still the current attempt.
 * @returns whether it was stored
 */
export async function settle(
  { store, clock }: QueueOptions,
  kind: string,
  id: string,
  outcome: Outcome & { progress?: string | null },
  attempts?: number,
): Promise<boolean> {
  const db = await store.db();
  const job = db
    .updateTable('job_queue')
    .set({ ...outcome, finished_at: new Date(clock.now()).toISOString(), leased_until: 0 })
    .where('kind', '=', kind)
    .where('id', '=', id)
    .where('state', 'in', open);
  const { numUpdatedRows } = await (attempts === undefined
    ? job
    : job.where('attempts', '=', attempts)
  ).executeTakeFirst();
  store.notifier.notify('queue', id);
  store.notifier.notify('settled', id);
  return numUpdatedRows === 1n;
}

/** Runs a job and stores its outcome; `abort` ends the work, and so does a takeover by another instance. */
export async function runJob(
  options: QueueOptions,
  job: QueuedJob,
  work: Work,
  abort: AbortController,
  isStopping: () => boolean,
): Promise<void> {
  const { store, log } = options;
  const over = new AbortController();
  const renewal = renewClaim(options, job, abort, over.signal);
  const progress = progressOf(options, job);
  try {
    const outcome = await work(job, { signal: abort.signal, progress: progress.say, isStopping }).then(
      (result): Outcome => ({ state: 'succeeded', result: JSON.stringify(result ?? null) }),
      (error: unknown): Outcome | null => {
        if (abort.signal.aborted) return null;
        log.warn({ err: error, job: job.id, kind: job.kind, subject: job.subject }, 'job failed');
        return { state: 'failed', error: storableText(publicText(error)) };
      },
    );
    const last = await progress.last();
    if (outcome)
      await withRetries(options, isStopping, async () => {
        const isKept = await settle(options, job.kind, job.id, { ...outcome, progress: last }, job.attempts);
        if (!isKept && outcome.state === 'succeeded') await addResult(options, job, outcome.result);
      });
    else if (isStopping()) await requeue(store, job);
  } finally {
    over.abort();
    await renewal;
  }
}

/** Stores the result of a job that was cancelled while it ran. */
async function addResult({ store }: QueueOptions, { id, attempts }: QueuedJob, result: string): Promise<void> {
  const db = await store.db();
  await db
    .updateTable('job_queue')
    .set({ result })
    .where('id', '=', id)
    .where('state', '=', 'cancelled')
    .where('attempts', '=', attempts)
    .execute();
  store.notifier.notify('queue', id);
}

/** Retries the write of an outcome: during a short outage of the store the job still belongs to this instance. */
async function withRetries(
  { clock, log }: QueueOptions,
  isStopping: () => boolean,
  write: () => Promise<unknown>,
): Promise<void> {
  for (let left = 20; ; left -= 1) {
    try {
      await write();
      return;
    } catch (error) {
      if (left === 0 || isStopping()) throw error;
      log.warn({ err: error }, 'failed to store the outcome of a job; retrying');
      await clock.sleep(renewalMs);
    }
  }
}

/** Requeues a job interrupted by the shutdown of this instance. */
async function requeue(store: Store, { id, attempts }: QueuedJob): Promise<void> {
  const db = await store.db();
  await db
    .updateTable('job_queue')
    .set({ state: 'queued', leased_until: 0, progress: null })
    .where('id', '=', id)
    .where('state', '=', 'running')
    .where('attempts', '=', attempts)
    .execute();
  store.notifier.notify('queue');
}

/** Renews the lease periodically until the job ends; aborts the job if another instance has it or it has an outcome. */
async function renewClaim(
  { store, clock, log }: QueueOptions,
  job: QueuedJob,
  abort: AbortController,
  over: AbortSignal,
): Promise<void> {
  while (!over.aborted) {
    const notified = new AbortController();
    const stop = store.notifier.on('settled', (about) => {
      if (about === job.id) notified.abort();
    });
    await clock.sleep(renewalMs, AbortSignal.any([over, notified.signal])).catch(() => undefined);
    stop();
    if (over.aborted) return;
    try {
      if (await renew(store, job)) continue;
      abort.abort(new Error('another worker has the job, or it has ended'));
      return;
    } catch (error) {
      log.warn({ err: error, job: job.id }, 'failed to renew the lease of a job; retrying');
    }
  }
}

async function renew(store: Store, { id, attempts }: QueuedJob): Promise<boolean> {
  const [db, now] = [await store.db(), await store.now()];
  const { numUpdatedRows } = await db
    .updateTable('job_queue')
    .set({ leased_until: now + leaseMs })
    .where('id', '=', id)
    .where('state', '=', 'running')
    .where('attempts', '=', attempts)
    .executeTakeFirst();
  return numUpdatedRows === 1n;
}

/** Writes a job's progress, rate-limited. */
function progressOf({ store, clock }: QueueOptions, { id, attempts }: QueuedJob) {
  const over = new AbortController();
  let writing: Promise<void> | null = null;
  let [newest, written]: [string | null, string | null] = [null, null];
  const write = async (progress: string): Promise<void> => {
    const db = await store.db();
    await db
      .updateTable('job_queue')
      .set({ progress })
      .where('id', '=', id)
      .where('state', '=', 'running')
      .where('attempts', '=', attempts)
      .execute();
    store.notifier.notify('queue', id);
  };
  const flushProgress = async (): Promise<void> => {
    try {
      while (newest !== written) {
        written = newest;
        await write(newest!);
        // Progress reported during the pause is written after it, also if no further report follows.
        await clock.sleep(progressMs, over.signal);
      }
    } catch {
      // A failed write needs no retry: the next report supersedes it.
    } finally {
      writing = null;
    }
  };
  return {
    say: (now: unknown): void => {
      newest = JSON.stringify(now);
      // Unchanged progress is not written again.
      if (newest !== written) writing ??= flushProgress();
    },
    /** The latest progress, after any write in flight has ended. */
    last: async (): Promise<string | null> => {
      over.abort();
      await writing;
      return newest;
    },
  };
}
