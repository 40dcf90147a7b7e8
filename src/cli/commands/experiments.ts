import type { Command } from 'commander';
import { invalid } from '#kernel/errors.ts';
import type { ExperimentAnswer, ExperimentList } from '#services/acquisition/experiments/experiment-schemas.ts';
import type { CliContext } from '../context.ts';
import { card, table } from '../table.ts';

const path = '/api/v1/acquisition/experiments';
const ofService = (service: string | undefined): string =>
  service === undefined ? '' : `service=${encodeURIComponent(service)}`;

/** `tower experiments` and `tower clean`: load experiments on disk and their quality. */
export function addExperimentCommands(program: Command, context: CliContext): void {
  const experiments = program.command('experiments').description('list, inspect and delete load experiments');
  experiments
    .command('list')
    .description('list experiments with their quality grades')
    .option('--service <name>', 'only experiments of this service')
    .action(async ({ service }: { service?: string }) => {
      context.print(await context.tower().get<ExperimentList>(`${path}?${ofService(service)}`), listText);
    });
  experiments
    .command('show <experiment>')
    .description('quality checks of one experiment, and the rows and values that cleaning removes')
    .action(async (id: string) => {
      context.print(await context.tower().get<ExperimentAnswer>(`${path}/${encodeURIComponent(id)}`), oneText);
    });
  program
    .command('clean')
    .description('delete collected files')
    .command('experiments')
    .description('delete the files of experiments')
    .option('--service <name>', 'only experiments of this service')
    .option('--confirm', 'confirm that the files are deleted')
    .action(async ({ service, confirm }: { service?: string; confirm?: boolean }) => {
      if (!confirm) throw invalid('set --confirm to delete the files');
      const done = await context.tower().delete<{ deleted: number }>(`${path}?${ofService(service)}&confirm=true`);
      context.print(done, ({ deleted }) => `deleted ${deleted} experiments`);
    });
}

function listText({ experiments, total_experiments, data_quality, failed_checks, unreadable }: ExperimentList): string {
  if (total_experiments === 0 && unreadable.length === 0) return 'No experiments.';
  const { high_quality, medium_quality, low_quality } = data_quality;
  return [
    table(
      ['EXPERIMENT', 'QUALITY', 'ROWS', 'LOAD', 'FAILED'],
      experiments.map(({ experiment_id, quality, rows, load_success_rate, failed_checks: failed }) => [
        experiment_id,
        quality,
        rows,
        load_success_rate === null ? null : `${Math.round(100 * load_success_rate)} %`,
        failed.length === 0 ? null : failed.join(', '),
      ]),
    ),
    '',
    card([
      [
        'experiments',
        `${total_experiments}: ${high_quality} high, ${medium_quality} medium, ${low_quality} low quality`,
      ],
      ...Object.entries(failed_checks).map(([name, count]): [string, unknown] => [`failed ${name}`, count]),
      ...unreadable.map(({ experiment_id, error }): [string, unknown] => [`unreadable ${experiment_id}`, error]),
    ]),
  ].join('\n');
}

const oneText = ({ experiment_id, quality, checks, cleaning }: ExperimentAnswer): string =>
  [
    `${experiment_id}: ${quality} quality`,
    '',
    table(
      ['CHECK', 'PASSED', 'DETAIL'],
      checks.map(({ name, passed, detail }) => [name, passed ? 'yes' : 'NO', detail]),
    ),
    '',
    ...cleaning.map((done) => `cleaning: ${done}`),
  ].join('\n');
