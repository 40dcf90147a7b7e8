import { writeFile } from 'node:fs/promises';
import type { Command } from 'commander';
import { invalid, TowerError } from '#kernel/errors.ts';
import type {
  ExperimentJob,
  ExperimentPlan,
  ExperimentProgress,
} from '#services/acquisition/experiments/job-schemas.ts';
import { experimentConfigs } from '../../offline.ts';
import type { CliContext } from '../context.ts';
import { followJob } from '../follow-job.ts';
import { card, table } from '../table.ts';

type Result = NonNullable<ExperimentJob['result']>;
type Flags = { configFile?: string; namespace: string; target?: string; maxWorkers?: string; plan?: boolean };

const path = '/api/v1/acquisition/experiments';

/** The experiment commands of `tower train`. */
export function addTrainExperimentCommands(train: Command, context: CliContext): void {
  withFlags(
    train
      .command('parallel-experiments')
      .description('run load experiments of several services, and wait for them')
      .requiredOption('--services <names>', 'comma-separated')
      .option('--max-workers <number>', 'number of concurrent experiments, of isolated services'),
  ).action(async ({ services, ...flags }: Flags & { services: string }) => {
    await runAll(context, namesOf(services), flags);
  });
  withFlags(
    train
      .command('isolated-experiment')
      .description('run load experiments of one service, and wait for them')
      .requiredOption('--service <name>', 'name of the service'),
  ).action(async ({ service, ...flags }: Flags & { service: string }) => {
    await runAll(context, [service], { ...flags, maxWorkers: '1' });
  });
  addExperimentJobCommands(train, context);
  train
    .command('config [name]')
    .description('print a configuration to adapt: resource-optimized or default')
    .option('--out <file>', 'output file')
    .action(async (name: string | undefined, { out }: { out?: string }) => {
      const { shipped, asYaml } = await experimentConfigs();
      const config = await shipped(name ?? 'resource-optimized');
      if (out === undefined) return context.print(config, asYaml);
      await writeFile(out, `${asYaml(config)}\n`);
      context.out(`wrote ${out}`);
    });
}

const withFlags = (command: Command): Command =>
  command
    .option('--config-file <file>', 'YAML or JSON file; default: config/resource-optimized.yaml')
    .option('--namespace <name>', 'namespace of the services', 'hipster-shop')
    .option('--target <url>', 'load target, one of LOAD_TARGETS; overrides target_url')
    .option('--plan', 'print the plan without running it');

function addExperimentJobCommands(train: Command, context: CliContext): void {
  train
    .command('experiment-jobs')
    .description('experiment jobs, newest first')
    .action(async () => {
      context.print(await context.tower().get<ExperimentJob[]>(`${path}/jobs`), (jobs) =>
        jobs.length === 0
          ? 'No experiment jobs.'
          : table(
              ['JOB', 'NAMESPACE', 'STATUS', 'DONE', 'FAILED', 'SERVICES', 'ERROR'],
              jobs.map(({ id, namespace, status, progress, services, error, result }) => [
                id,
                namespace,
                result?.status ?? status,
                progress && `${progress.finished}/${progress.total}`,
                result?.failed_experiments ?? progress?.failed ?? null,
                services.join(', '),
                error ?? result?.failures[0]?.error,
              ]),
            ),
      );
    });
  train
    .command('cancel-experiments <job>')
    .description('cancel an experiment job and restore replicas')
    .action(async (job: string) => {
      context.print(await context.tower().delete<ExperimentJob>(`${path}/jobs/${encodeURIComponent(job)}`), jobText);
    });
}

const namesOf = (text: string): string[] => {
  const names = text
    .split(',')
    .map((name) => name.trim())
    .filter(Boolean);
  if (names.length === 0) throw invalid('--services must not be empty', { parameter: 'services' });
  return names;
};

async function bodyOf(services: string[], { configFile, namespace, target, maxWorkers }: Flags): Promise<object> {
  const { load, shipped } = await experimentConfigs();
  const read = configFile === undefined ? await shipped('resource-optimized') : await load(configFile);
  return {
    namespace,
    services,
    config: target === undefined ? read : { ...read, target_url: target },
    ...(maxWorkers === undefined ? {} : { max_workers: Number(maxWorkers) }),
  };
}

/** Starts a job and follows it to its end; Ctrl-C cancels it. Prints the documented result. */
async function runAll(context: CliContext, services: string[], flags: Flags): Promise<void> {
  const tower = context.tower();
  const body = await bodyOf(services, flags);
  if (flags.plan) return context.print(await tower.post<ExperimentPlan>(`${path}/plan`, body), planText);
  const begun = await tower.post<ExperimentJob>(`${path}/jobs`, body);
  const last = await followJob(context, `${path}/jobs`, begun, ({ progress }) =>
    context.progress(progress === null ? '' : barOf(progress)),
  );
  if (!last.result)
    throw new TowerError('internal', `job ${last.id} ${last.status}: ${last.error ?? 'without a result'}`);
  context.print(last.result, resultText);
  if (last.result.failed_experiments > 0) process.exitCode = 1;
}

const barWidth = 24;

function barOf({ total, finished, failed, running, eta_seconds }: ExperimentProgress): string {
  const full = total === 0 ? barWidth : Math.round((finished / total) * barWidth);
  const now = running.map(({ experiment_id, phase, share }) =>
    [experiment_id, phase, ...(share === null ? [] : [`${Math.round(100 * share)} %`])].join(' '),
  );
  const left = eta_seconds === null ? [] : [`${Math.ceil(eta_seconds / 60)} min left`];
  const bad = failed > 0 ? [`${failed} failed`] : [];
  return [`${'█'.repeat(full)}${'░'.repeat(barWidth - full)}  ${finished}/${total}`, ...bad, ...now, ...left].join(
    '  ',
  );
}

const planText = ({
  total_experiments,
  finished,
  workers,
  least_minutes,
  groups,
  targets,
  notes,
}: ExperimentPlan): string =>
  card([
    ['experiments', total_experiments],
    ['existing', finished.length],
    ['concurrent', workers],
    ['minimum duration', `${Number((least_minutes / 60).toPrecision(3))} h`],
    ...groups.map((group): [string, unknown] => ['not concurrent', group.join(', ')]),
    ...[...new Set(Object.values(targets))].map((target): [string, unknown] => ['load target', target]),
    ...notes.map((note): [string, unknown] => ['note', note]),
  ]);

function resultText({ data_quality: quality, failures, notes, ...counts }: Result): string {
  return card([
    ['status', counts.status],
    ['experiments', counts.total_experiments],
    ['successful', counts.successful_experiments],
    ['failed', counts.failed_experiments],
    ['skipped', counts.skipped_experiments],
    ['quality', `${quality.high_quality} high, ${quality.medium_quality} medium, ${quality.low_quality} low`],
    ...failures.map(({ experiment_id, error }): [string, unknown] => [`failed ${experiment_id}`, error]),
    ...notes.map((note): [string, unknown] => ['note', note]),
  ]);
}

const jobText = ({ id, status, services, error }: ExperimentJob): string =>
  card([
    ['job', id],
    ['status', status],
    ['services', services.join(', ')],
    ['error', error],
  ]);
