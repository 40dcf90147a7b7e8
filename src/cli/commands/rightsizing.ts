import { writeFile } from 'node:fs/promises';
import { type Command, Option } from 'commander';
import { invalid, publicText } from '#kernel/errors.ts';
import type { BacktestAnswer } from '#services/rightsizing/backtest/backtest-schemas.ts';
import type { BatchAnswer, SizeAnswer } from '#services/rightsizing/schemas.ts';
import { backtestTools } from '../../offline.ts';
import type { CliContext } from '../context.ts';
import { type CsvFlags, csvOptions, numberOf, onGrid, readColumn } from '../csv-column.ts';
import { table } from '../table.ts';
import { addApplyCommands } from './rightsizing-apply.ts';
import { horizonOption, type SizeFlags, sizeBody, sizeOptions } from './rightsizing-flags.ts';
import { backtestText, batchText, type Output, recommendationText, together } from './rightsizing-texts.ts';

type RecommendFlags = SizeFlags & {
  namespace: string;
  service?: string;
  services?: string;
  kind?: string;
  compare?: boolean;
  output: Output;
};
type BacktestFlags = CsvFlags & {
  prometheus?: string;
  csv?: string;
  column?: string;
  time?: string;
  step?: string;
  resource: string;
  horizon: string;
  warmUpDays: string;
  ownFloors?: boolean;
  strategies?: string;
  days?: string;
  picture?: string;
};

const path = '/api/v1/rightsizing';
const part = (text: string): string => encodeURIComponent(text);

/** `tower rightsizing`: recommendations for workloads, and backtests. */
export function addRightsizingCommands(program: Command, context: CliContext): void {
  const rightsizing = program.command('rightsizing').description('right-size Kubernetes workloads');
  sizeOptions(rightsizing.command('recommend'))
    .description('recommend CPU, memory and replicas, from Prometheus')
    .requiredOption('--namespace <name>', 'the namespace')
    .option('--service <name>', 'one Deployment, StatefulSet or DaemonSet; default: all of the namespace')
    .option('--services <names>', 'several workloads, comma-separated')
    .addOption(
      new Option('--kind <kind>', 'workload kind, if not detected; of a namespace: only this kind').choices([
        'Deployment',
        'StatefulSet',
        'DaemonSet',
      ]),
    )
    .option('--compare', 'requests of all other strategies too')
    .addOption(
      new Option('--output <form>', 'a table or CSV, largest saving first, or output to apply')
        .choices(['table', 'csv', 'kubectl', 'kustomize', 'helm', 'vpa'])
        .default('table'),
    )
    .action((flags: RecommendFlags) => recommend(context, flags));
  addApplyCommands(rightsizing, context);
  csvOptions(rightsizing.command('backtest'))
    .description('backtest all strategies')
    .option('--prometheus <namespace/service>', 'usage of a workload')
    .option('--csv <file>', 'a CSV file with a header row; - reads standard input')
    .option('--column <name>', 'column with cores or bytes')
    .option('--time <name>', 'column with times; missing rows are gaps')
    .option('--step <seconds>', 'time between two rows; default: the smallest difference, 300 without --time')
    .addOption(new Option('--resource <name>', 'resource of the column').choices(['cpu', 'memory']).default('cpu'))
    .addOption(horizonOption())
    .option('--warm-up-days <number>', 'warm-up before the first evaluated request', '7')
    .option('--days <number>', 'history with --prometheus')
    .option('--own-floors', 'use each strategy’s own minimum request; default: the same for all')
    .option(
      '--strategies <names>',
      'only these strategies, comma-separated; tower, oracle, and those of "tower rightsizing strategies"',
    )
    .option('--picture <file.svg>', 'write a plot as SVG')
    .action((flags: BacktestFlags) => backtest(context, flags));
  rightsizing
    .command('strategies')
    .description('list strategies')
    .action(async () => {
      type Strategy = { name: string; about: string };
      context.print(await context.tower().get<Strategy[]>(`${path}/strategies`), (all) =>
        table(
          ['STRATEGY', 'WHAT IT DOES'],
          all.map(({ name, about }) => [name, about]),
        ),
      );
    });
}

async function recommend(context: CliContext, flags: RecommendFlags): Promise<void> {
  const { namespace, service, services, kind, compare, output } = flags;
  if (service !== undefined && services !== undefined) throw invalid('set either --service or --services');
  const body = { ...sizeBody(flags), compare: compare === true, ...(kind === undefined ? {} : { kind }) };
  const tower = context.tower();
  if (service !== undefined) {
    const answer = await tower.post<SizeAnswer>(`${path}/${part(namespace)}/${part(service)}/recommendation`, body);
    // Nothing on standard output that a script could take for a result.
    if (answer.outputs === null) process.exitCode = 1;
    return context.print(answer, (one) => recommendationText(one, output));
  }
  const named = services === undefined ? {} : { services: services.split(',').map((name) => name.trim()) };
  const ask = async (more: object) =>
    tower.post<BatchAnswer>(`${path}/${part(namespace)}/recommendations`, { ...body, ...named, ...more });
  let batch = await ask({});
  while (batch.next) {
    context.progress(`${batch.recommendations.length + batch.failures.length} workloads, ${batch.left_off} remaining`);
    const after = batch.next;
    try {
      batch = together(batch, await ask({ after }));
    } catch (error) {
      // Prints the partial result.
      process.exitCode = 1;
      const failures = [...batch.failures, { service: `all after ${after}`, error: publicText(error) }];
      batch = { ...batch, failures, next: null };
    }
  }
  if (batch.recommendations.every(({ outputs }) => outputs === null)) process.exitCode = 1;
  // Standard output is for the rows; failures do not fit them.
  if (output === 'csv') for (const { service, error } of batch.failures) context.warn(`${service}: ${error}`);
  context.print(batch, (all) => batchText(all, output));
}

async function backtest(context: CliContext, flags: BacktestFlags): Promise<void> {
  const common = {
    resource: flags.resource,
    horizon: flags.horizon,
    warm_up_days: numberOf('--warm-up-days', flags.warmUpDays),
    own_floors: flags.ownFloors === true,
    ...(flags.strategies === undefined ? {} : { strategies: flags.strategies.split(',').map((name) => name.trim()) }),
  };
  if (flags.prometheus !== undefined && flags.csv !== undefined) throw invalid('set either --prometheus or --csv');
  const tested = await (flags.prometheus === undefined
    ? backtestCsv(flags, common)
    : backtestWorkload(context, flags, common));
  context.print(tested, backtestText);
  if (flags.picture !== undefined)
    await writeFile(flags.picture, tested.picture).catch((error: NodeJS.ErrnoException) => {
      throw invalid(`cannot write --picture ${flags.picture} (${error.code})`);
    });
}

async function backtestWorkload(
  context: CliContext,
  { prometheus = '', days }: BacktestFlags,
  common: object,
): Promise<BacktestAnswer> {
  const [, namespace, service] = /^([^/]+)\/([^/]+)$/.exec(prometheus) ?? [];
  if (namespace === undefined || service === undefined) throw invalid('--prometheus must be namespace/service');
  return context.tower().post<BacktestAnswer>(`${path}/${part(namespace)}/${part(service)}/backtest`, {
    ...common,
    ...(days === undefined ? {} : { history_days: numberOf('--days', days) }),
  });
}

/** Computed on this machine: no server is needed. */
async function backtestCsv(
  { csv, column, time, step, ...flags }: BacktestFlags,
  common: object,
): Promise<BacktestAnswer> {
  if (csv === undefined || column === undefined) throw invalid('set --prometheus, or --csv and --column');
  const { values, times } = await readColumn(csv, column, time, null, flags);
  const step_seconds = step === undefined ? null : numberOf('--step', step);
  const grid = times ? onGrid(values, times, step_seconds) : { values, step_seconds: step_seconds ?? 300 };
  const tools = await backtestTools();
  try {
    return await tools.backtest({ ...common, ...grid, title: `${column} of ${csv}` });
  } finally {
    await tools.close();
  }
}
