import { cpus, freemem, hostname, totalmem } from 'node:os';
import { setTimeout } from 'node:timers/promises';
import type { Command } from 'commander';
import { stringify } from 'csv-stringify/sync';
import { invalid, notFound } from '#kernel/errors.ts';
import type {
  AnomaliesAnswer,
  BaselinesAnswer,
  MetricForecastAnswer,
  TrendAnswer,
} from '#services/analytics/analysis/analysis-schemas.ts';
import type { AggregateAnswer, PointsAnswer } from '#services/analytics/schemas.ts';
import type { CliContext } from '../context.ts';
import { numberOf } from '../csv-column.ts';
import { sparkline, table } from '../table.ts';
import { timeOf } from '../time.ts';
import { aggregateText, anomaliesText, digits, forecastText, trendText } from './metrics-texts.ts';

type Identity = { metric: string; resource: string; labels: Record<string, string> };
type Point = PointsAnswer['points'][number];
type Flags = Record<string, string | string[] | boolean | undefined>;

const many = (value: string, before: string[] = []): string[] => [...before, value];
const path = (what: string, metric: string | undefined, flags: Flags): string => {
  const query = new URLSearchParams(metric === undefined ? {} : { metric });
  for (const [name, value] of Object.entries(flags))
    for (const each of [value].flat()) if (typeof each === 'string') query.append(snakeCase(name), each);
  return `/api/v1/analytics/${what}?${query}`;
};

/** Commander gives the option --group-by the name groupBy, the API calls it group_by. */
const snakeCase = (name: string): string => name.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);

/** `tower metrics …`: stored points and their analyses; with options only, the form of the collector. */
export function addMetricsCommands(program: Command, context: CliContext): void {
  const metrics = program
    .command('metrics')
    .description('query and analyse metrics: aggregates, anomalies, trends, forecasts, baselines')
    .option('--collect', 'record CPU and memory usage of this host until interrupted')
    .option('--interval <seconds>', 'with --collect: seconds between samples', '15')
    .option('--count <number>', 'with --collect: number of samples')
    .option('--analyze <component>', 'all metrics of a component: aggregates, trend, anomalies')
    .option('--baselines', 'baselines of all metrics')
    .action(
      async (flags: { collect?: boolean; interval: string; count?: string; analyze?: string; baselines?: boolean }) => {
        if (flags.collect)
          return collect(context, Number(flags.interval), flags.count === undefined ? null : Number(flags.count));
        if (flags.analyze !== undefined) return analyze(context, flags.analyze);
        if (flags.baselines) return printBaselines(context, undefined, {});
        throw invalid('set --collect, --analyze, --baselines or a command (tower metrics --help)');
      },
    );
  addAnalysisCommands(metrics, context);
  addRecordCommand(metrics, context);
}

function addAnalysisCommands(metrics: Command, context: CliContext): void {
  const about = (name: string, description: string, usual = '24h') =>
    metrics
      .command(name)
      .description(description)
      .option('--resource <name>', 'only this resource (or component)')
      .option('--label <name:value>', 'only series with this label; can be repeated', many)
      .option('--start <time>', `ISO 8601 time, a date, or an age such as 7d; default: ${usual} before --end`, timeOf)
      .option('--end <time>', 'as --start; default: now', timeOf);
  about('query [metric]', 'list points, newest first', '15d')
    .option('--limit <number>', 'maximum number of points', '50')
    .option('--csv', 'print CSV')
    .action(async (metric: string | undefined, { csv, ...flags }: Flags) =>
      query(context, metric, flags, csv === true),
    );
  about('aggregate <metric>', 'aggregate by minute, hour, day, week or month')
    .option('--granularity <unit>', 'MINUTE, HOUR, DAY, WEEK or MONTH', 'HOUR')
    .option('--timezone <zone>', 'time zone of days and months', 'UTC')
    .option('--group-by <dimension>', 'none, resource or series', 'none')
    .action(async (metric: string, flags: Flags) => {
      const answer = await analysis<AggregateAnswer>(
        context,
        'aggregate',
        metric,
        flags,
        (it) => it.groups.length === 0,
      );
      context.print(answer, aggregateText);
    });
  about('anomalies <metric>', 'anomalies with their reasons')
    .option('--method <name>', 'calibrated, zscore, esd or peers', 'calibrated')
    .action(async (metric: string, flags: Flags) => {
      const answer = await analysis<AnomaliesAnswer>(context, 'anomalies', metric, flags, (it) => it.series === 0);
      context.print(answer, anomaliesText);
    });
  about('trend <metric>', 'direction and slope, with significance').action(async (metric: string, flags: Flags) => {
    const answer = await analysis<TrendAnswer>(context, 'trend', metric, flags, (it) => it.slope_per_day === null);
    context.print(answer, trendText);
  });
  about('forecast <metric>', 'forecast a metric', '35d')
    .option('--periods-ahead <steps>', 'number of steps to forecast', '10')
    .option('--method <name>', 'fused or exponential_smoothing', 'fused')
    .action(async (metric: string, flags: Flags) =>
      context.print(await context.tower().get<MetricForecastAnswer>(path('forecast', metric, flags)), forecastText),
    );
  metrics
    .command('baselines [metric]')
    .description('baseline of a metric')
    .option('--resource <name>', 'only this resource (or component)')
    .action(async (metric: string | undefined, flags: Flags) => printBaselines(context, metric, flags));
}

function addRecordCommand(metrics: Command, context: CliContext): void {
  metrics
    .command('record <metric> <value>')
    .description('record one point')
    .requiredOption('--resource <name>', 'measured resource (or component)')
    .option('--label <name:value>', 'label of the series; can be repeated', many)
    .option('--at <time>', 'ISO 8601 time with a zone, or an age such as 10m; default: now', timeOf)
    .action(async (metric: string, value: string, flags: { resource: string; label?: string[]; at?: string }) => {
      await context.tower().post('/api/v1/analytics/metrics', pointOf(metric, value, flags));
      context.print({ recorded: 1 }, () => `recorded ${metric} of ${flags.resource}`);
    });
}

type PointFlags = { resource: string; label?: string[]; at?: string };

function pointOf(metric: string, value: string, { resource, label = [], at }: PointFlags): object {
  const labels = label.map((text) => {
    const [, name, worth] = /^([^:]+):(.*)$/.exec(text) ?? [];
    if (name === undefined) throw invalid(`--label must be name:value (got ${JSON.stringify(text)})`);
    return [name, worth];
  });
  return {
    metric,
    value: numberOf('value', value),
    resource,
    labels: Object.fromEntries(labels) as Record<string, string>,
    ...(at === undefined ? {} : { timestamp: at }),
  };
}

/** An analysis of a metric. @throws TowerError `not_found` if the analysis is empty because the metric does not exist */
async function analysis<Answer>(
  context: CliContext,
  what: string,
  metric: string,
  flags: Flags,
  isEmpty: (answer: Answer) => boolean,
): Promise<Answer> {
  const answer = await context.tower().get<Answer>(path(what, metric, flags));
  if (isEmpty(answer)) await requireMetric(context, metric);
  return answer;
}

async function requireMetric(context: CliContext, metric: string): Promise<void> {
  const { series } = await context.tower().get<{ series: Identity[] }>(path('series', metric, {}));
  if (series.length === 0) throw notFound(`metric ${metric} not found`);
}

async function query(context: CliContext, metric: string | undefined, flags: Flags, csv: boolean): Promise<void> {
  const { points, truncated } = await context
    .tower()
    .get<{ points: Point[]; truncated: boolean }>(path('metrics', metric, flags));
  if (points.length === 0 && metric !== undefined) await requireMetric(context, metric);
  const rows = points.map((point) => [point.timestamp, point.metric, point.resource, point.labels, point.value]);
  if (csv) return context.out(stringify([['timestamp', 'metric', 'resource', 'labels', 'value'], ...rows]).trimEnd());
  context.print(points, () =>
    [
      table(['TIME', 'METRIC', 'RESOURCE', 'LABELS', 'VALUE'], rows),
      '',
      sparkline(points.map(({ value }) => value).toReversed()),
      ...(truncated ? ['more points exist: use --limit or --start'] : []),
    ].join('\n'),
  );
}

async function printBaselines(context: CliContext, metric: string | undefined, flags: Flags): Promise<void> {
  const answer = await context.tower().get<BaselinesAnswer>(path('baselines', metric, flags));
  if (answer.baselines.length === 0 && metric !== undefined) await requireMetric(context, metric);
  context.print(answer, ({ baselines }) =>
    table(
      ['METRIC', 'RESOURCE', 'LABELS', 'HOURS', 'MEDIAN', 'MAD'],
      baselines.map(({ metric: name, resource, labels, hours, median, mad }) => [
        name,
        resource,
        labels,
        hours,
        digits(median),
        digits(mad),
      ]),
    ),
  );
}

async function analyze(context: CliContext, component: string): Promise<void> {
  const tower = context.tower();
  const { series } = await tower.get<{ series: Identity[] }>(path('series', undefined, { component }));
  if (series.length === 0) throw notFound(`no metrics of ${component}`);
  type Analysis = Pick<TrendAnswer, 'metric' | 'direction' | 'slope_per_day'> & {
    last: number | null;
    anomalies: number;
    values: (number | null)[];
  };
  const found: Analysis[] = [];
  for (const metric of new Set(series.map((each) => each.metric))) {
    const { points } = await tower.get<{ points: Point[] }>(path('metrics', metric, { component, limit: '60' }));
    const { direction, slope_per_day } = await tower.get<TrendAnswer>(path('trend', metric, { component }));
    const { anomalies } = await tower.get<AnomaliesAnswer>(path('anomalies', metric, { component }));
    const values = points.map(({ value }) => value).toReversed();
    found.push({
      metric,
      last: points[0]?.value ?? null,
      direction,
      slope_per_day,
      anomalies: anomalies.length,
      values,
    });
  }
  context.print({ component, metrics: found }, () =>
    table(
      ['METRIC', 'LAST', 'PER DAY', 'TREND', 'ANOMALIES', 'LAST POINTS'],
      found.map((each) => [
        each.metric,
        digits(each.last),
        digits(each.slope_per_day),
        each.direction,
        each.anomalies,
        sparkline(each.values),
      ]),
    ),
  );
}

/** This host's CPU since the last sample and its memory now, in per cent. */
async function collect(context: CliContext, seconds: number, samples: number | null): Promise<void> {
  if (!(seconds >= 1 && seconds <= 86_400))
    throw invalid(`--interval must be a number between 1 and 86400 (got ${seconds})`);
  if (samples !== null && !(samples >= 1)) throw invalid(`--count must be an integer of at least 1 (got ${samples})`);
  let before = cpuTimes();
  for (let sample = 0; samples === null || sample < samples; sample += 1) {
    await setTimeout(seconds * 1000);
    const now = cpuTimes();
    const busy = (100 * (now.busy - before.busy)) / Math.max(1, now.all - before.all);
    before = now;
    const row = (metric: string, value: number) => ({ metric, resource: hostname(), value });
    const rows = [row('cpu_usage', busy), row('memory_usage', 100 * (1 - freemem() / totalmem()))];
    await context.tower().post('/api/v1/analytics/metrics', { metrics: rows });
    context.out(
      `${new Date().toISOString()} ${rows.map(({ metric, value }) => `${metric} ${value.toFixed(1)} %`).join('  ')}`,
    );
  }
}

function cpuTimes(): { busy: number; all: number } {
  const times = cpus().map((cpu) => cpu.times);
  const all = times.reduce((total, time) => total + time.user + time.nice + time.sys + time.idle + time.irq, 0);
  return { all, busy: all - times.reduce((total, { idle }) => total + idle, 0) };
}
