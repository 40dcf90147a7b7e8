import { conflict, notFound } from '../../src/kernel/errors.ts';
import { jobFrames } from '../../src/store/job-frames.ts';
import type { Queue, QueuedJob } from '../../src/store/queue.ts';
import type { TrainRequest, TrainResult } from './training-schemas.ts';

/** Training as a resource: queued, looked at, followed, cancelled. It outlives the tower that began it. */

export type JobProgress = {
  epoch: number;
  epochs: number;
  loss: number;
  validation_loss: number | null;
  eta_seconds: number;
};
export type TrainingJob = {
  id: string;
  service: string;
  status: QueuedJob['state'];
  /** How often it was begun; more than once where a tower ended meanwhile. */
  attempts: number;
  created_at: string;
  finished_at: string | null;
  progress: JobProgress | null;
  result: TrainResult | null;
  error: string | null;
};

const kind = 'training';
/** So many are listed. */
const mostListed = 200;

export function createTrainingJobs(
  queue: Queue,
  train: (
    service: string,
    request: TrainRequest,
    signal: AbortSignal,
    onProgress: (progress: JobProgress) => void,
  ) => Promise<TrainResult>,
) {
  queue.handle(kind, ({ subject, payload }, { signal, progress }) =>
    train(subject, JSON.parse(payload) as TrainRequest, signal, progress),
  );
  const get = async (id: string): Promise<TrainingJob> => {
    const job = await queue.get(kind, id);
    if (!job) throw notFound(`there is no training job ${id}`, { id });
    return jobOf(job);
  };
  return {
    get,
    /** The job of a service that is queued or running. */
    open: async (service: string): Promise<TrainingJob | null> => {
      const job = await queue.open(kind, service);
      return job && jobOf(job);
    },
    /** @throws TowerError `conflict` while another job of the service is open */
    start: async (service: string, request: TrainRequest): Promise<TrainingJob> => {
      const { job, isNew } = await queue.add({ kind, subject: service, payload: request });
      if (!isNew) throw conflict(`${service} is being trained already, by job ${job.id}`, { job: job.id });
      return jobOf(job);
    },
    /** Newest first. */
    list: async (): Promise<TrainingJob[]> => (await queue.list(kind, mostListed)).map(jobOf),
    /** Ends an open job at once; a finished one stays as it is. */
    cancel: async (id: string): Promise<TrainingJob> => {
      await queue.cancel(kind, id);
      return get(id);
    },
    /** The job whenever it changes, as server-sent events; ends with the job, or when the signal aborts. */
    events: (id: string, over: AbortSignal) => jobFrames(queue, { kind, id }, over, jobOf),
  };
}

const jobOf = (job: QueuedJob): TrainingJob => ({
  id: job.id,
  service: job.subject,
  status: job.state,
  attempts: job.attempts,
  created_at: job.created_at,
  finished_at: job.finished_at,
  progress: job.progress === null ? null : (JSON.parse(job.progress) as JobProgress),
  result: job.result === null ? null : (JSON.parse(job.result) as TrainResult),
  error: job.error,
});
