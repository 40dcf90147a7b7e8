import { randomUUID } from 'node:crypto';
import type { Clock } from '../../src/kernel/clock.ts';
import { conflict, notFound, publicText } from '../../src/kernel/errors.ts';
import type { Log } from '../../src/kernel/log.ts';

/** Long work as resources: made, looked at, followed, cancelled. They live as long as the process. */

export type JobProgress = {
  epoch: number;
  epochs: number;
  loss: number;
  validation_loss: number | null;
  eta_seconds: number;
};
export type TrainingJob<Result> = {
  id: string;
  service: string;
  status: 'running' | 'succeeded' | 'failed' | 'cancelled';
  created_at: string;
  finished_at: string | null;
  progress: JobProgress | null;
  result: Result | null;
  error: string | null;
};

type Deps = { clock: Clock; log: Log };
type Work<Result> = (signal: AbortSignal, onProgress: (progress: JobProgress) => void) => Promise<Result>;
type Kept<Result> = {
  job: TrainingJob<Result>;
  abort: AbortController;
  followers: Set<() => void>;
  done: Promise<void>;
};

/** Finished jobs that are still told of. */
const mostFinished = 100;

export function createTrainingJobs<Result>(deps: Deps) {
  const all = new Map<string, Kept<Result>>();
  const find = (id: string): Kept<Result> => {
    const kept = all.get(id);
    if (!kept) throw notFound(`there is no training job ${id}`, { id });
    return kept;
  };
  const running = (service: string): TrainingJob<Result> | null =>
    [...all.values()].find(({ job }) => job.service === service && job.status === 'running')?.job ?? null;
  return {
    running,
    /** @throws TowerError `conflict` while another job of the service runs */
    start: (service: string, work: Work<Result>): TrainingJob<Result> => {
      const other = running(service);
      if (other) throw conflict(`${service} is being trained already, by job ${other.id}`, { job: other.id });
      const finished = [...all.values()].filter(({ job }) => job.status !== 'running');
      for (const { job } of finished.slice(0, Math.max(0, finished.length - mostFinished))) all.delete(job.id);
      const kept = begin(service, work, deps);
      all.set(kept.job.id, kept);
      return { ...kept.job };
    },
    /** Newest first. */
    list: (): TrainingJob<Result>[] => [...all.values()].map(({ job }) => ({ ...job })).toReversed(),
    get: (id: string): TrainingJob<Result> => ({ ...find(id).job }),
    /** Ends a running job at once; a finished one stays as it is. */
    cancel: async (id: string): Promise<TrainingJob<Result>> => {
      const kept = find(id);
      kept.abort.abort(new Error('cancelled'));
      await kept.done;
      return { ...kept.job };
    },
    /** The job whenever it changes, as server-sent events; ends with the job, or when the signal aborts. */
    events: (id: string, over: AbortSignal): AsyncGenerator<string> => follow(find(id), over),
    stop: async (): Promise<void> => {
      for (const { abort } of all.values()) abort.abort(new Error('the tower stops'));
      await Promise.all([...all.values()].map(({ done }) => done));
    },
  };
}

function begin<Result>(service: string, work: Work<Result>, { clock, log }: Deps): Kept<Result> {
  const time = () => new Date(clock.now()).toISOString();
  const job: TrainingJob<Result> = {
    id: randomUUID(),
    service,
    status: 'running',
    created_at: time(),
    finished_at: null,
    progress: null,
    result: null,
    error: null,
  };
  const abort = new AbortController();
  const kept: Kept<Result> = { job, abort, followers: new Set(), done: Promise.resolve() };
  const change = (changes: Partial<TrainingJob<Result>>) => {
    Object.assign(job, changes);
    for (const tell of kept.followers) tell();
  };
  const onProgress = (progress: JobProgress) => {
    if (job.status === 'running') change({ progress });
  };
  kept.done = work(abort.signal, onProgress).then(
    (result) => change({ finished_at: time(), status: 'succeeded', result }),
    (error: unknown) => {
      if (abort.signal.aborted) return change({ finished_at: time(), status: 'cancelled' });
      log.warn({ err: error, service }, 'a training job failed');
      return change({ finished_at: time(), status: 'failed', error: publicText(error) });
    },
  );
  return kept;
}

async function* follow<Result>({ job, followers }: Kept<Result>, over: AbortSignal): AsyncGenerator<string> {
  let wake: () => void = () => undefined;
  const tell = () => wake();
  followers.add(tell);
  over.addEventListener('abort', tell, { once: true });
  try {
    for (let number = 1; !over.aborted; number += 1) {
      const next = new Promise<void>((resolve) => {
        wake = resolve;
      });
      const { status } = job;
      yield `id: ${number}\nevent: ${status === 'running' ? 'progress' : status}\ndata: ${JSON.stringify(job)}\n\n`;
      if (status !== 'running') return;
      await next;
    }
  } finally {
    followers.delete(tell);
  }
}
