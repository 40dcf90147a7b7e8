import { invalid } from '#kernel/errors.ts';
import { sum } from '#kernel/stats.ts';
import { allowedTarget } from '../load/jobs.ts';
import { hashOf } from './anonymise.ts';
import { combinationsOf, type ExperimentConfig, isolationGroups } from './experiment-config.ts';
import { experimentOrReason, listExperiments } from './experiments.ts';
import type { ExperimentJobRequest, ExperimentPlan } from './job-schemas.ts';
import { validateQuality } from './quality.ts';

/** Plans an experiment job: which experiments, in which order, against which targets. */

/** @throws TowerError `invalid` for a target that is missing or not allowed */
function targetsOf(allowed: readonly string[], { config }: Planned): (service: string) => string {
  const own = Object.entries(config.target_urls).map(([service, url]): [string, string] => [
    service,
    allowedTarget(allowed, url, `config.target_urls.${service}`),
  ]);
  const byService = new Map(own);
  const only = allowed.length === 1 ? allowed[0] : undefined;
  const common = config.target_url ?? only;
  const usual = common === undefined ? null : allowedTarget(allowed, common, 'config.target_url');
  return (service) => {
    const target = byService.get(service) ?? usual;
    if (target !== null) return target;
    throw invalid(
      `config.target_url must be set: ${allowed.length === 0 ? 'LOAD_TARGETS allows none' : `one of ${allowed.join(', ')}`}`,
      { parameter: 'config.target_url' },
    );
  };
}

type Planned = Omit<ExperimentJobRequest, 'config'> & {
  config: ExperimentConfig;
  /** Id of the planned job, if it was started before. */
  job?: string;
};

/** Experiments a job would run, and which of them exist already. @throws TowerError `invalid` */
export async function planOf(
  { directory, targets }: { directory: string; targets: string[] },
  request: Planned,
): Promise<ExperimentPlan> {
  const { namespace, config, services, job } = request;
  refuseContradictions(services, config);
  const targetOf = targetsOf(targets, request);
  const groups = isolationGroups(services, config, targetOf);
  const all = services.flatMap((service) => combinationsOf(service, config));
  const existing = new Set(await listExperiments(directory));
  const finished: string[] = [];
  let again = 0;
  const notes: string[] = [];
  const minutes = config.training.steady_state_config.experiment_duration_minutes;
  for (const { id } of all.filter((each) => existing.has(each.id))) {
    const read = await experimentOrReason(directory, id);
    // The JSON file is written last; without it the experiment is incomplete.
    if (typeof read === 'string' || read.startedAt === null) continue;
    if (read.namespace !== null && read.namespace !== namespace && read.namespace !== hashOf(namespace))
      throw invalid(`${id} already exists, of namespace ${read.namespace}: use another EXPERIMENTS_DIRECTORY`, {
        parameter: 'namespace',
      });
    // Low-quality experiments made by this server are repeated, but not by the same job.
    const isOurs = read.job !== null;
    const isSame = job !== undefined && (read.job === job || read.job === hashOf(job));
    if (isOurs && !isSame && validateQuality(read).grade === 'low') {
      again += 1;
      continue;
    }
    if (read.durationMinutes !== minutes)
      notes.push(`${id} already exists, with ${read.durationMinutes} instead of ${minutes} minutes: it is kept`);
    finished.push(id);
  }
  if (again > 0) notes.push(`${again} existing experiments are of low quality and will be repeated`);
  const { jmeter_thread_ramp_up: up, jmeter_thread_ramp_down: down } = config;
  const workers = Math.min(request.max_workers ?? config.max_parallel_workers, groups.length);
  const counts = groups.map(
    (group) => all.filter(({ id, service }) => group.includes(service) && !finished.includes(id)).length,
  );
  return {
    namespace,
    config,
    groups,
    targets: Object.fromEntries(services.map((service) => [service, targetOf(service)])),
    workers,
    total_experiments: all.length,
    finished,
    least_minutes: Math.max(Math.max(0, ...counts), sum(counts) / workers) * (minutes + (up + down) / 60),
    notes,
  };
}

/** Load targets of all services of a job. @throws TowerError `invalid` */
export function targetsOfJob(allowed: readonly string[], request: Planned): Set<string> {
  return new Set(request.services.map(targetsOf(allowed, request)));
}

const maxExperiments = 20_000;

function refuseContradictions(services: readonly string[], { training, scale_to_zero }: ExperimentConfig): void {
  const both = services.find((service) => scale_to_zero.includes(service));
  if (both !== undefined)
    throw invalid(`${both} is both a tested service and in config.scale_to_zero`, {
      parameter: 'config.scale_to_zero',
    });
  const { replica_counts, load_levels_users, test_scenarios } = training.steady_state_config;
  const count = services.length * replica_counts.length * load_levels_users.length * test_scenarios.length;
  if (count > maxExperiments)
    throw invalid(`${count} experiments are too many for one job; the maximum is ${maxExperiments}`, {
      parameter: 'config.training.steady_state_config',
    });
}
