import { randomUUID } from 'node:crypto';
import { requester } from '#kernel/requester.ts';
import type { NewJob, QueuedJob, QueueOptions, Work } from './queue-job.ts';
import { claim, open, runJob, settle } from './queue-worker.ts';
import type { Store } from './store.ts';

/**
 * Job queue of all instances over one store. Any instance claims queued jobs, one at a time per kind, and renews their
 * leases; a job whose lease expires is restarted on another instance.
 */
export type Queue = {
  /**
   * Registers the handler of a kind; jobs of a kind without one are not claimed.
   * @param maxAbandoned - a job is not restarted after this many workers died: it may be what kills them
   */
  handle(kind: string, work: Work, maxAbandoned?: number): void;
  /**
   * @returns the job, and whether it is new: an open job of the same kind and subject, or any job of the same key, is
   *   returned instead
   */
  add(job: NewJob): Promise<{ job: QueuedJob; isNew: boolean }>;
  get(kind: string, id: string): Promise<QueuedJob | null>;
  /** Newest first. */
  list(kind: string, limit: number): Promise<QueuedJob[]>;
  /** The subject's job without an outcome. */
  open(kind: string, subject: string): Promise<QueuedJob | null>;
  /** Cancels an open job; resolves when this instance has stopped working on it. */
  cancel(kind: string, id: string): Promise<void>;
  /** Yields the job now and on every change, until it has an outcome or the signal aborts. */
  follow(kind: string, id: string, over: AbortSignal): AsyncGenerator<QueuedJob>;
  /** Background step: claims jobs. */
  step(): Promise<void>;
  /** Deletes jobs whose outcome is older than this time. */
  prune(before: number): Promise<void>;
  /** Aborts running jobs and requeues them. */
  stop(): Promise<void>;
};
type Running = { done: Promise<void>; abort: AbortController; id: string };

export function createQueue(options: QueueOptions): Queue {
  const { store, log } = options;
  const works = new Map<string, { work: Work; maxAbandoned: number }>();
  const running = new Map<string, Running>();
  let isStopping = false;
  let looking: Promise<void> = Promise.resolve();
  /** Claims a job of each kind that this instance is not running. */
  const poll = (): Promise<void> => {
    looking = looking
      .catch(() => undefined)
      .then(async () => {
        for (const [kind, { work, maxAbandoned }] of works) {
          if (isStopping || running.has(kind)) continue;
          const job = await claim(options, kind, maxAbandoned);
          // A job does not run for the client whose request triggered this poll.
          if (job) requester.run(undefined, () => begin(job, work));
        }
      });
    return looking;
  };
  const triggerPoll = () =>
    void poll().catch((error: unknown) => log.warn({ err: error }, 'failed to read the job queue; retrying'));
  const begin = (job: QueuedJob, work: Work): void => {
    const abort = new AbortController();
    const done = runJob(options, job, work, abort, () => isStopping)
      .catch((error: unknown) => log.warn({ err: error, job: job.id }, 'failed to store the outcome of a job'))
      .finally(() => {
        running.delete(job.kind);
        if (!isStopping) triggerPoll();
      });
    running.set(job.kind, { done, abort, id: job.id });
  };
  const findRunning = (id: string): Running | undefined => [...running.values()].find((each) => each.id === id);
  const stopListening = store.notifier.on('queue', (about) => {
    if (about === '') triggerPoll();
  });
  return {
    ...readsOf(options),
    handle: (kind, work, maxAbandoned = 3) => void works.set(kind, { work, maxAbandoned }),
    add: async (job) => {
      const added = await add(options, job);
      if (added.isNew) store.notifier.notify('queue');
      return added;
    },
    cancel: async (kind, id) => {
      await settle(options, kind, id, { state: 'cancelled' });
      const local = findRunning(id);
      local?.abort.abort(new Error('cancelled'));
      await local?.done;
    },
    step: poll,
    stop: async () => {
      isStopping = true;
      stopListening();
      await looking.catch(() => undefined);
      for (const { abort } of running.values()) abort.abort(new Error('the server is shutting down'));
      await Promise.all([...running.values()].map(({ done }) => done));
    },
  };
}

/** Operations that need no worker. */
function readsOf({ store, clock }: QueueOptions) {
  const one = async (kind: string, id: string): Promise<QueuedJob | null> => {
    const db = await store.db();
    const jobs = db.selectFrom('job_queue').selectAll().where('kind', '=', kind);
    return (await jobs.where('id', '=', id).executeTakeFirst()) ?? null;
  };
  return {
    get: one,
    list: async (kind: string, limit: number): Promise<QueuedJob[]> => {
      const db = await store.db();
      const jobs = db.selectFrom('job_queue').selectAll().where('kind', '=', kind);
      return jobs.orderBy('created_at', 'desc').orderBy('id').limit(limit).execute();
    },
    open: async (kind: string, subject: string): Promise<QueuedJob | null> => openOf(store, kind, subject),
    async *follow(kind: string, id: string, over: AbortSignal): AsyncGenerator<QueuedJob> {
      let last = '';
      while (!over.aborted) {
        const notified = new AbortController();
        const stop = store.notifier.on('queue', (about) => {
          if (about === id) notified.abort();
        });
        try {
          const job = await one(kind, id);
          if (!job) return;
          const { leased_until: _, ...shown } = job;
          const now = JSON.stringify(shown);
          if (now !== last) yield job;
          last = now;
          if (!isOpen(job)) return;
          // Another instance's notification may be lost.
          await clock.sleep(1_000, AbortSignal.any([notified.signal, over])).catch(() => undefined);
        } finally {
          stop();
        }
      }
    },
    prune: async (before: number): Promise<void> => {
      const db = await store.db();
      await db.deleteFrom('job_queue').where('finished_at', '<', new Date(before).toISOString()).execute();
    },
  };
}

const isOpen = ({ state }: QueuedJob): boolean => open.some((each) => each === state);

async function openOf(store: Store, kind: string, subject: string): Promise<QueuedJob | null> {
  const db = await store.db();
  const jobs = db.selectFrom('job_queue').selectAll().where('kind', '=', kind).where('subject', '=', subject);
  return (await jobs.where('state', 'in', open).executeTakeFirst()) ?? null;
}

async function add({ store, clock }: QueueOptions, { kind, subject, payload, key }: NewJob) {
  const db = await store.db();
  const job: QueuedJob = {
    id: randomUUID(),
    kind,
    subject,
    key: key ?? null,
    payload: JSON.stringify(payload),
    state: 'queued',
    attempts: 0,
    abandoned: 0,
    worker: null,
    leased_until: 0,
    created_at: new Date(clock.now()).toISOString(),
    finished_at: null,
    progress: null,
    result: null,
    error: null,
  };
  for (;;) {
    const { numInsertedOrUpdatedRows } = await db
      .insertInto('job_queue')
      .values(job)
      .onConflict((on) => on.doNothing())
      .executeTakeFirstOrThrow();
    if (numInsertedOrUpdatedRows === 1n) return { job, isNew: true };
    const keyed = db
      .selectFrom('job_queue')
      .selectAll()
      .where('key', '=', key ?? '');
    const there =
      (key === undefined ? undefined : await keyed.executeTakeFirst()) ?? (await openOf(store, kind, subject));
    if (there) return { job: there, isNew: false };
    // The conflicting job got its outcome in between.
  }
}
