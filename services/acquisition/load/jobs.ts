import { createHash } from 'node:crypto';
import { conflict, invalid, notFound } from '../../../src/kernel/errors.ts';
import { jobFrames } from '../../../src/store/job-frames.ts';
import type { Queue, QueuedJob } from '../../../src/store/queue.ts';
import type { LoadProgress, LoadRun, RunResult } from './generator.ts';
import type { LoadJob, LoadJobRequest } from './job-schemas.ts';
import { checkScenario, type Scenario, scenarios } from './scenario.ts';
import type { loadOnThread } from './thread.ts';

/** Load tests as a resource: queued, looked at, followed, cancelled. */

type Deps = {
  queue: Queue;
  /** Origins that load tests may be sent to. */
  targets: string[];
  load: typeof loadOnThread;
};

const kind = 'load';
const mostListed = 200;
const memoryMiB = 2048;

export function createLoadJobs({ queue, targets, load }: Deps) {
  queue.handle(kind, async ({ id, subject, payload }, { signal, progress }) => {
    const request = JSON.parse(payload) as LoadJobRequest;
    const run: LoadRun = {
      target: targetOf(targets, subject),
      arrivalsPerSecond: request.arrivals_per_second,
      durationSeconds: request.duration_seconds,
      rampUpSeconds: request.ramp_seconds,
      rampDownSeconds: request.ramp_seconds,
      mostUsers: request.most_users,
      timeoutMs: 30_000,
    };
    const seed = createHash('sha256').update(id).digest().readUInt32LE(0);
    const result = await load({ scenario: scenarioOf(request), run, seed, memoryMiB }, signal, progress);
    if (result === null) throw invalid('the load test made no request: it is too short for so few users');
    return result;
  });
  const get = async (id: string): Promise<LoadJob> => {
    const job = await queue.get(kind, id);
    if (!job) throw notFound(`there is no load test ${id}`, { id });
    return jobOf(job);
  };
  return {
    get,
    /** @throws TowerError `invalid` for a target nobody allowed or a scenario that is none, `conflict` while another one is sent there */
    start: async (request: LoadJobRequest): Promise<LoadJob> => {
      scenarioOf(request);
      const target = targetOf(targets, request.target);
      const { job, isNew } = await queue.add({ kind, subject: target, payload: request });
      if (!isNew) throw conflict(`${target} is under load already, by load test ${job.id}`, { job: job.id });
      return jobOf(job);
    },
    /** Newest first. */
    list: async (): Promise<LoadJob[]> => (await queue.list(kind, mostListed)).map(jobOf),
    cancel: async (id: string): Promise<LoadJob> => {
      await queue.cancel(kind, id);
      return get(id);
    },
    /** As server-sent events; ends with the job, or when the signal aborts. */
    events: (id: string, over: AbortSignal) => jobFrames(queue, { kind, id }, over, jobOf),
  };
}

/** @throws TowerError `invalid` */
export function targetOf(targets: readonly string[], text: string): string {
  const origin = URL.canParse(text) ? new URL(text).origin : '';
  if (targets.some((each) => new URL(each).origin === origin)) return origin;
  throw invalid(`target ${text} is not in LOAD_TARGETS; those are ${targets.join(', ') || 'none'}`, {
    parameter: 'target',
  });
}

/** @throws TowerError `invalid` */
function scenarioOf({ scenario }: LoadJobRequest): Scenario {
  if (typeof scenario !== 'string') {
    checkScenario(scenario);
    return scenario;
  }
  return scenarios[scenario];
}

const jobOf = (job: QueuedJob): LoadJob => ({
  id: job.id,
  target: job.subject,
  status: job.state,
  attempts: job.attempts,
  created_at: job.created_at,
  finished_at: job.finished_at,
  progress: job.progress === null ? null : (JSON.parse(job.progress) as LoadProgress),
  result: job.result === null ? null : (JSON.parse(job.result) as RunResult),
  error: job.error,
});
