import { invalid } from '#kernel/errors.ts';
import { jobResource } from '#store/job-resource.ts';
import type { Queue } from '#store/queue.ts';
import type { LoadRun } from './generator.ts';
import { checkJmeter, type Jmeter } from './jmeter-run.ts';
import type { LoadJob, LoadJobRequest } from './job-schemas.ts';
import { kinds } from './load-targets.ts';
import { checkScenario, type Scenario, scenarios, usualUsers } from './scenario.ts';
import type { Load } from './thread.ts';

/** Load tests as a resource: queued, looked at, followed, cancelled. */

type Deps = {
  queue: Queue;
  /** Origins that load tests may be sent to. */
  targets: string[];
  jmeter: Jmeter | null;
  load: Load;
  /** @throws TowerError `conflict` where another job sends load there */
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
      mostUsers: request.most_users,
      timeoutMs: 30_000,
    };
    const task = { name: id, generator: request.generator, scenario: scenarioOf(request), run, memoryMiB };
    return load(task, signal, progress);
  });
  const { begin, ...jobs } = jobResource<LoadJob>(queue, kind, 'load test', ({ subject }) => ({ target: subject }));
  return {
    ...jobs,
    /** @throws TowerError `invalid` for a target nobody allowed or a scenario that is none, `conflict` while another one, or experiments, are sent there */
    start: async (request: LoadJobRequest): Promise<LoadJob> => {
      scenarioOf(request);
      usersOf(request);
      if (request.ramp_seconds * 2 > request.duration_seconds)
        throw invalid('ramp_seconds must be half of duration_seconds at most: it is at each end', {
          parameter: 'ramp_seconds',
        });
      if (request.generator === 'jmeter') checkJmeter(jmeter);
      const target = allowedTarget(targets, request.target, 'target');
      if (!(await queue.open(kind, target))) await refuseShared(new Set([target]));
      return begin(target, request, `${target} is under load`);
    },
  };
}

/** @param parameter - what named it. @returns its origin @throws TowerError `invalid` for what LOAD_TARGETS does not have */
export function allowedTarget(allowed: readonly string[], text: string, parameter: string): string {
  const { origin = '', pathname = '/', search = '' } = URL.parse(text) ?? {};
  if (pathname !== '/' || search !== '')
    throw invalid(`${parameter} must be http(s)://host[:port], without a path`, { parameter });
  if (allowed.some((each) => new URL(each).origin === origin)) return origin;
  throw invalid(`${parameter} ${origin || text} is not in LOAD_TARGETS; those are ${allowed.join(', ') || 'none'}`, {
    parameter,
  });
}

/** @throws TowerError `invalid` where the generator needs what is not given */
function usersOf({ generator, arrivals_per_second: arrivalsPerSecond, users }: LoadJobRequest) {
  // JMeter's users come back when they have their answer: how many there are is all that can be said.
  if (generator === 'jmeter') {
    if (users === undefined) throw invalid('users must say how many JMeter is to have', { parameter: 'users' });
    return { arrivalsPerSecond: arrivalsPerSecond ?? 1, users };
  }
  if (arrivalsPerSecond === undefined)
    throw invalid('arrivals_per_second must say how many begin each second', { parameter: 'arrivals_per_second' });
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
