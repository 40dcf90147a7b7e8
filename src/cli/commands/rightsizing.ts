import { writeFile } from 'node:fs/promises';
import { type Command, Option } from 'commander';
import { invalid } from '../../kernel/errors.ts';
import { numberOf, readColumn } from '../csv-column.ts';
import type { CliContext } from '../main.ts';
import { table } from '../table.ts';
import { addApplyCommands } from './rightsizing-apply.ts';
import {
  type Answer,
  type Batch,
  backtestText,
  batchText,
  type Output,
  recommendationText,
  type Tested,
} from './rightsizing-texts.ts';

type RecommendFlags = {
  namespace: string;
  service?: string;
  horizon: string;
  strategy: string;
  days?: string;
  kind: string;
  compare?: boolean;
  violation?: string;
  memoryViolation?: string;
  cpuLimit?: boolean;
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

/** `tower rightsizing`: what containers should ask for, and how that would have done. */
export function addRightsizingCommands(program: Command, context: CliContext): void {
  const rightsizing = program.command('rightsizing').description('what containers should ask for');
  rightsizing
    .command('recommend')
    .description('CPU, memory and replicas, from what Prometheus knows')
    .requiredOption('--namespace <name>', 'the namespace')
    .option('--service <name>', 'one Deployment, StatefulSet or DaemonSet; not given: all Deployments')
    .addOption(horizonOption())
    .option('--strategy <name>', 'tower, or the rule of another right-sizer (tower rightsizing strategies)', 'tower')
    .addOption(
      new Option('--kind <kind>', 'what it is')
        .choices(['Deployment', 'StatefulSet', 'DaemonSet'])
        .default('Deployment'),
    )
    .option('--days <number>', 'how far back usage is looked at')
    .option('--compare', 'what every other strategy would say as well')
    .option('--violation <share>', 'share of samples that may lie above the CPU request; 0.05')
    .option('--memory-violation <share>', 'share of horizons in which memory may go above its request; 0.02')
    .option('--cpu-limit', 'recommend a CPU limit too')
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
    .option('--time <name>', 'the column with ISO 8601 times')
    .option('--step <seconds>', 'time between two rows; without --time 300')
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

const horizonOption = () =>
  new Option('--horizon <time>', 'how long a request is to hold').choices(['24h', '1h']).default('24h');

async function recommend(context: CliContext, flags: RecommendFlags): Promise<void> {
  const { namespace, service, horizon, strategy, days, kind, compare, output, violation, memoryViolation } = flags;
  const body = {
    horizon,
    strategy,
    kind,
    compare: compare === true,
    cpu_limit: flags.cpuLimit === true,
    ...(violation === undefined ? {} : { violation: numberOf('--violation', violation) }),
    ...(memoryViolation === undefined ? {} : { memory_violation: numberOf('--memory-violation', memoryViolation) }),
    ...(days === undefined ? {} : { history_days: numberOf('--days', days) }),
  };
  const tower = context.tower();
  if (service !== undefined) {
    const answer = await tower.post<Answer>(`${path}/${part(namespace)}/${part(service)}/recommendation`, body);
    return context.print(answer, (one) => recommendationText(one, output));
  }
  const batch = await tower.post<Batch>(`${path}/${part(namespace)}/recommendations`, body);
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
): Promise<Tested> {
  const [, namespace, service] = /^([^/]+)\/([^/]+)$/.exec(prometheus) ?? [];
  if (namespace === undefined || service === undefined) throw invalid('--prometheus must be namespace/service');
  return context.tower().post<Tested>(`${path}/${part(namespace)}/${part(service)}/backtest`, {
    ...common,
    ...(days === undefined ? {} : { history_days: numberOf('--days', days) }),
  });
}

async function backtestCsv(
  context: CliContext,
  { csv, column, time, step }: BacktestFlags,
  common: object,
): Promise<Tested> {
  if (csv === undefined || column === undefined) throw invalid('name --prometheus, or --csv and --column');
  const { values, times } = await readColumn(csv, column, time, null);
  return context.tower().post<Tested>(`${path}/backtest`, {
    ...common,
    values,
    step_seconds: step === undefined ? (stepOf(times) ?? 300) : numberOf('--step', step),
    title: `${column} of ${csv}`,
    ...(times?.[0] === undefined ? {} : { start: times[0] }),
  });
}

/** Seconds from each row to the next; null where there are no times. @throws TowerError `invalid` where they differ */
function stepOf(times: string[] | null): number | null {
  const [first, second] = (times ?? []).map((time) => Date.parse(time));
  if (!times || first === undefined || second === undefined) return null;
  const step = second - first;
  const odd = times.findIndex((time, i) => Date.parse(time) !== first + i * step);
  if (odd >= 0 || step <= 0)
    throw invalid(`row ${Math.max(odd, 1) + 1} is not one step after the one before; rows must be evenly apart`);
  return step / 1000;
}
