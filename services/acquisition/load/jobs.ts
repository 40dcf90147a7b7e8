import { invalid } from '#kernel/errors.ts';
import { jobResource } from '#store/job-resource.ts';
import type { Queue } from '#store/queue.ts';
import type { LoadRun } from './generator.ts';
import { checkJmeter, type Jmeter } from './jmeter-run.ts';
import type { LoadJob, LoadJobRequest } from './job-schemas.ts';
import { kinds } from './load-targets.ts';
import { checkScenario, type Scenario, scenarios, usualUsers } from './scenario.ts';
import type { Load } from './thread.ts';

/** Load test jobs: queued, polled, streamed, cancelled. */

type Deps = {
  queue: Queue;
  /** Allowed load test origins. */
  targets: string[];
  jmeter: Jmeter | null;
  load: Load;
  /** @throws TowerError `conflict` if another job sends load to a target */
  refuseShared(targets: ReadonlySet<string>): Promise<void>;
};

const kind = kinds.load;
const memoryMiB = 2048;

export function createLoadJobs({ queue, targets, jmeter, load, refuseShared }: Deps) {
  queue.handle(kind, async ({ id, subject, payload }, { signal, progress }) => {
    const request = JSON.parse(payload) as LoadJobRequest;
    const run: LoadRun = {
      target: allowedTarget(targets, subject, 'target'),
      ...usersOf(request),
      durationSeconds: request.duration_seconds,
      rampUpSeconds: request.ramp_seconds,
      rampDownSeconds: request.ramp_seconds,
      maxUsers: request.most_users,
      timeoutMs: 30_000,
    };
    const task = { name: id, generator: request.generator, scenario: scenarioOf(request), run, memoryMiB };
    return load(task, signal, progress);
  });
  const { begin, ...jobs } = jobResource<LoadJob>(queue, kind, 'load test', ({ subject }) => ({ target: subject }));
  return {
    ...jobs,
    /**
     * @throws TowerError `invalid` for a target that is not allowed or an invalid scenario, `conflict` if another job
     *   sends load to the target
     */
    start: async (request: LoadJobRequest): Promise<LoadJob> => {
      scenarioOf(request);
      usersOf(request);
      if (request.ramp_seconds * 2 > request.duration_seconds)
        throw invalid('ramp_seconds must be at most half of duration_seconds: there are two ramps', {
          parameter: 'ramp_seconds',
        });
      if (request.generator === 'jmeter') checkJmeter(jmeter);
      const target = allowedTarget(targets, request.target, 'target');
      if (!(await queue.open(kind, target))) await refuseShared(new Set([target]));
      return begin(target, request, `${target} is being tested`);
    },
  };
}

/**
 * @param parameter - name of the field, for the error
 * @returns the origin
 * @throws TowerError `invalid` if it is not in LOAD_TARGETS
 */
export function allowedTarget(allowed: readonly string[], text: string, parameter: string): string {
  const { origin = '', pathname = '/', search = '' } = URL.parse(text) ?? {};
  if (pathname !== '/' || search !== '')
    throw invalid(`${parameter} must be http(s)://host[:port], without a path`, { parameter });
  if (allowed.some((each) => new URL(each).origin === origin)) return origin;
  throw invalid(`${parameter} ${origin || text} is not in LOAD_TARGETS; allowed: ${allowed.join(', ') || 'none'}`, {
    parameter,
  });
}

/** @throws TowerError `invalid` if the generator needs a missing field */
function usersOf({ generator, arrivals_per_second: arrivalsPerSecond, users }: LoadJobRequest) {
  // JMeter has a closed model: only the number of users can be set.
  if (generator === 'jmeter') {
    if (users === undefined) throw invalid('users must be set for JMeter', { parameter: 'users' });
    return { arrivalsPerSecond: arrivalsPerSecond ?? 1, users };
  }
  if (arrivalsPerSecond === undefined)
    throw invalid('arrivals_per_second must be set', { parameter: 'arrivals_per_second' });
  return { arrivalsPerSecond, users: users ?? usualUsers(arrivalsPerSecond) };
}

/** @throws TowerError `invalid` */
function scenarioOf({ scenario }: LoadJobRequest): Scenario {
  if (typeof scenario !== 'string') {
    checkScenario(scenario);
    return scenario;
  }
  return scenarios[scenario];
}
