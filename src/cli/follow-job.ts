import { setTimeout as wait } from 'node:timers/promises';
import { TowerError } from '#kernel/errors.ts';
import type { CliContext } from './context.ts';

type AnyJob = { id: string; status: string };

/** Maximum restart time of a server. */
const maxAttempts = 300;

/**
 * Follows a job to its end, across broken streams and server restarts; Ctrl-C cancels the job.
 * @param jobs - the path of the jobs
 * @param onChange - called with each state of the job
 */
export async function followJob<Job extends AnyJob>(
  context: CliContext,
  jobs: string,
  started: Job,
  onChange: (job: Job) => void,
): Promise<Job> {
  const tower = context.tower();
  const path = `${jobs}/${encodeURIComponent(started.id)}`;
  const cancel = () => void tower.delete(path).finally(() => process.exit(130));
  process.once('SIGINT', cancel);
  try {
    let job = started;
    for (let tries = 0; job.status === 'queued' || job.status === 'running'; tries += 1) {
      try {
        for await (const { data } of await tower.follow(`${path}/events`, null)) {
          tries = 0;
          job = JSON.parse(data) as Job;
          onChange(job);
        }
        job = await tower.get<Job>(path);
      } catch (error) {
        const isOutage = !(error instanceof TowerError) || error.code === 'unavailable' || error.code === 'limited';
        if (!isOutage || tries >= maxAttempts) throw error;
        await wait(1000);
      }
    }
    return job;
  } finally {
    process.off('SIGINT', cancel);
    context.progress('');
  }
}
