import { invalid } from '../../../src/kernel/errors.ts';
import { jobResource } from '../../../src/store/job-resource.ts';
import type { Queue } from '../../../src/store/queue.ts';
import { type LoadRun, usualUsers } from './generator.ts';
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
const memoryMiB = 2048;

export function createLoadJobs({ queue, targets, load }: Deps) {
  queue.handle(kind, async ({ id, subject, payload }, { signal, progress }) => {
    const request = JSON.parse(payload) as LoadJobRequest;
    const run: LoadRun = {
      target: allowedTarget(targets, subject, 'target'),
      arrivalsPerSecond: request.arrivals_per_second,
      users: request.users ?? usualUsers(request.arrivals_per_second),
      durationSeconds: request.duration_seconds,
      rampUpSeconds: request.ramp_seconds,
      rampDownSeconds: request.ramp_seconds,
      mostUsers: request.most_users,
      timeoutMs: 30_000,
    };
    return load({ name: id, scenario: scenarioOf(request), run, memoryMiB }, signal, progress);
  });
  const { begin, ...jobs } = jobResource<LoadJob>(queue, kind, 'load test', ({ subject }) => ({ target: subject }));
  return {
    ...jobs,
    /** @throws TowerError `invalid` for a target nobody allowed or a scenario that is none, `conflict` while another one is sent there */
    start: async (request: LoadJobRequest): Promise<LoadJob> => {
      scenarioOf(request);
      const target = allowedTarget(targets, request.target, 'target');
      return begin(target, request, `${target} is under load`);
    },
  };
}

/** @param parameter - what named it. @returns its origin @throws TowerError `invalid` for what LOAD_TARGETS does not have */
export function allowedTarget(allowed: readonly string[], text: string, parameter: string): string {
  const origin = URL.canParse(text) ? new URL(text).origin : '';
  if (allowed.some((each) => new URL(each).origin === origin)) return origin;
  throw invalid(`${parameter} ${origin || text} is not in LOAD_TARGETS; those are ${allowed.join(', ') || 'none'}`, {
    parameter,
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
