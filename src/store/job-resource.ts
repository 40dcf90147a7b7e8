import { conflict, notFound } from '#kernel/errors.ts';
import type { Queue } from './queue.ts';
import type { QueuedJob } from './queue-job.ts';

/** Jobs of one kind as an API resource: start, read, follow, cancel. */

const maxListed = 200;

type AnyJob = {
  id: string;
  status: QueuedJob['state'];
  /** Number of starts: more than one if an instance stopped while it ran the job. */
  attempts: number;
  created_at: string;
  finished_at: string | null;
  /** Progress and result have a shape of their own per kind of job. */
  progress: unknown;
  result: unknown;
  error: string | null;
};

/**
 * @param noun - the singular name in messages, such as `load test`
 * @param own - the fields of this kind of job besides the common ones
 */
export function jobResource<Job extends AnyJob>(
  queue: Queue,
  kind: string,
  noun: string,
  own: (job: QueuedJob) => Omit<Job, keyof AnyJob>,
) {
  const jobOf = (job: QueuedJob): Job => {
    const common: AnyJob = {
      id: job.id,
      status: job.state,
      attempts: job.attempts,
      created_at: job.created_at,
      finished_at: job.finished_at,
      progress: job.progress === null ? null : JSON.parse(job.progress),
      result: job.result === null ? null : JSON.parse(job.result),
      error: job.error,
    };
    return { ...common, ...own(job) } as Job;
  };
  const get = async (id: string): Promise<Job> => {
    const job = await queue.get(kind, id);
    if (!job) throw notFound(`${noun} ${id} not found`, { id });
    return jobOf(job);
  };
  return {
    /** @throws TowerError `not_found` */
    get,
    /**
     * @param busy - beginning of the message if the subject has an open job.
     * @throws TowerError `conflict` if the subject has an open job
     */
    begin: async (subject: string, payload: unknown, busy: string): Promise<Job> => {
      const { job, isNew } = await queue.add({ kind, subject, payload });
      if (!isNew) throw conflict(`${busy}, by ${noun.replace(/^.* job$/, 'job')} ${job.id}`, { job: job.id });
      return jobOf(job);
    },
    /** The subject's queued or running job. */
    open: async (subject: string): Promise<Job | null> => {
      const job = await queue.open(kind, subject);
      return job && jobOf(job);
    },
    /** Newest first. */
    list: async (): Promise<Job[]> => (await queue.list(kind, maxListed)).map(jobOf),
    /**
     * Cancels an open job and waits for its current step; leaves a finished one unchanged.
     * @throws TowerError `not_found`
     */
    cancel: async (id: string): Promise<Job> => {
      await queue.cancel(kind, id);
      return get(id);
    },
    /** Server-sent events, one each time the job changes; ends with the job, or when the signal aborts. */
    events: (id: string, over: AbortSignal) => framesOf(queue.follow(kind, id, over), jobOf),
  };
}

async function* framesOf(rows: AsyncIterable<QueuedJob>, jobOf: (job: QueuedJob) => AnyJob): AsyncGenerator<string> {
  let number = 0;
  for await (const row of rows) {
    const job = jobOf(row);
    const isOpen = job.status === 'queued' || job.status === 'running';
    number += 1;
    yield `id: ${number}\nevent: ${isOpen ? 'progress' : job.status}\ndata: ${JSON.stringify(job)}\n\n`;
  }
}
