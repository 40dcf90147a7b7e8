import { writeFile } from 'node:fs/promises';
import { type Command, Option } from 'commander';
import { invalid, publicText } from '#kernel/errors.ts';
import type { BacktestAnswer } from '#services/rightsizing/backtest/backtest-schemas.ts';
import type { BatchAnswer, SizeAnswer } from '#services/rightsizing/schemas.ts';
import type { CliContext } from '../context.ts';
import { numberOf, onGrid, readColumn } from '../csv-column.ts';
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
type BacktestFlags = {
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
  const rightsizing = program.command('rightsizing').description('what containers should ask for');
  sizeOptions(rightsizing.command('recommend'))
    .description('CPU, memory and replicas, from what Prometheus knows')
    .requiredOption('--namespace <name>', 'the namespace')
    .option('--service <name>', 'one Deployment, StatefulSet or DaemonSet; not given: all of the namespace')
    .option('--services <names>', '… or some, comma-separated')
    .addOption(
      new Option('--kind <kind>', 'what it is, where Prometheus does not know; of a namespace: only those').choices([
        'Deployment',
        'StatefulSet',
        'DaemonSet',
      ]),
    )
    .option('--compare', 'what every other strategy would say as well')
    .addOption(
      new Option('--output <form>', 'a table, or what can be applied')
        .choices(['table', 'kubectl', 'kustomize', 'helm', 'vpa'])
        .default('table'),
    )
    .action((flags: RecommendFlags) => recommend(context, flags));
  addApplyCommands(rightsizing, context);
  rightsizing
    .command('backtest')
    .description('how every strategy would have done')
    .option('--prometheus <namespace/service>', 'on what a workload used')
    .option('--csv <file>', '… or on a CSV with a header; - reads standard input')
    .option('--column <name>', 'the column with cores or bytes')
    .option('--time <name>', 'the column with times, ISO 8601 or Unix; what is missing between them is a gap')
    .option('--step <seconds>', 'time between two rows; without --time 300, else the least there is')
    .addOption(new Option('--resource <name>', 'what is sized').choices(['cpu', 'memory']).default('cpu'))
    .addOption(horizonOption())
    .option('--warm-up-days <number>', 'seen before the first request is judged', '7')
    .option('--days <number>', 'how far back, with --prometheus')
    .option('--own-floors', 'each strategy with its own least request; else all have the same')
    .option(
      '--strategies <names>',
      'only these, comma-separated; tower, oracle, and those of tower rightsizing strategies',
    )
    .option('--picture <file.svg>', 'write a picture')
    .action((flags: BacktestFlags) => backtest(context, flags));
  rightsizing
    .command('strategies')
    .description('the rules there are')
    .action(async () => {
      type Strategy = { name: string; about: string };
      context.print(await context.tower().get<Strategy[]>(`${path}/strategies`), (all) =>
        table(
          ['STRATEGY', 'WHAT IT DOES'],
          all.map(({ name, about }) => [name, about]),
          120,
        ),
      );
    });
}

async function recommend(context: CliContext, flags: RecommendFlags): Promise<void> {
  const { namespace, service, services, kind, compare, output } = flags;
  if (service !== undefined && services !== undefined) throw invalid('name --service or --services, not both');
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
    context.progress(`${batch.recommendations.length + batch.failures.length} workloads, ${batch.left_off} to go`);
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
  if (flags.prometheus !== undefined && flags.csv !== undefined) throw invalid('name --prometheus or --csv, not both');
  const tested = await (flags.prometheus === undefined
    ? backtestCsv(context, flags, common)
    : backtestWorkload(context, flags, common));
  context.print(tested, backtestText);
  if (flags.picture !== undefined)
    await writeFile(flags.picture, tested.picture).catch((error: NodeJS.ErrnoException) => {
      throw invalid(`--picture ${flags.picture} cannot be written (${error.code})`);
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

async function backtestCsv(
  context: CliContext,
  { csv, column, time, step }: BacktestFlags,
  common: object,
): Promise<BacktestAnswer> {
  if (csv === undefined || column === undefined) throw invalid('name --prometheus, or --csv and --column');
  const { values, times } = await readColumn(csv, column, time, null);
  const step_seconds = step === undefined ? null : numberOf('--step', step);
  const grid = times ? onGrid(values, times, step_seconds) : { values, step_seconds: step_seconds ?? 300 };
  return context.tower().post<BacktestAnswer>(`${path}/backtest`, { ...common, ...grid, title: `${column} of ${csv}` });
}
