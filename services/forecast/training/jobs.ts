import { jobResource } from '#store/job-resource.ts';
import type { Queue } from '#store/queue.ts';
import type { TrainingJob, TrainRequest, TrainResult } from './training-schemas.ts';

/** Training jobs: queued, polled, streamed, cancelled. A job survives the instance that started it. */

export type JobProgress = NonNullable<TrainingJob['progress']>;

const kind = 'training';

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
  const { begin, ...jobs } = jobResource<TrainingJob>(queue, kind, 'training job', ({ subject }) => ({
    service: subject,
  }));
  return {
    ...jobs,
    /** @throws TowerError `conflict` if another job of the service is open */
    start: async (service: string, request: TrainRequest): Promise<TrainingJob> =>
      begin(service, request, `${service} is already being trained`),
  };
}
