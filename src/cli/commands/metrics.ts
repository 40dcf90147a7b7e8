import { cpus, freemem, hostname, totalmem } from 'node:os';
import { setTimeout } from 'node:timers/promises';
import type { Command } from 'commander';
import { stringify } from 'csv-stringify/sync';
import { invalid } from '#kernel/errors.ts';
import type {
  AnomaliesAnswer,
  BaselinesAnswer,
  MetricForecastAnswer,
  TrendAnswer,
} from '#services/analytics/analysis/analysis-schemas.ts';
import type { AggregateAnswer, PointsAnswer } from '#services/analytics/schemas.ts';
import type { CliContext } from '../context.ts';
import { sparkline, table } from '../table.ts';

type Identity = { metric: string; resource: string; labels: Record<string, string> };
type Point = PointsAnswer['points'][number];
type Flags = Record<string, string | string[] | boolean | undefined>;

const many = (value: string, before: string[] = []): string[] => [...before, value];
const path = (what: string, metric: string | undefined, flags: Flags): string => {
  const query = new URLSearchParams(metric === undefined ? {} : { metric });
  for (const [name, value] of Object.entries(flags))
    for (const each of [value].flat()) if (typeof each === 'string') query.append(name, each);
  return `/api/v1/analytics/${what}?${query}`;
};

/** `tower metrics …`: stored points and their analyses; with options only, the form of the collector. */
export function addMetricsCommands(program: Command, context: CliContext): void {
  const metrics = program
    .command('metrics')
    .description('metric points: query, aggregate, anomalies, trend, forecast, baselines')
    .option('--collect', 'record this host’s CPU and memory use until it is stopped')
    .option('--interval <seconds>', 'with --collect: between two looks', '15')
    .option('--count <number>', 'with --collect: end after so many looks')
    .option('--analyze <component>', 'every metric of a component: where it stands, where it goes, what was unusual')
    .option('--baselines', 'what is usual for every metric')
    .action(
      async (flags: { collect?: boolean; interval: string; count?: string; analyze?: string; baselines?: boolean }) => {
        if (flags.collect)
          return collect(context, Number(flags.interval), flags.count === undefined ? null : Number(flags.count));
        if (flags.analyze !== undefined) return analyze(context, flags.analyze);
        if (flags.baselines) return printBaselines(context, undefined, {});
        throw invalid('name what is wanted: --collect, --analyze, --baselines or a command (tower metrics --help)');
      },
    );
  const about = (name: string, description: string) =>
    metrics
      .command(name)
      .description(description)
      .option('--resource <name>', 'of this resource (or component) alone')
      .option('--label <name:value>', 'with this label; may be given more than once', many)
      .option('--start <time>', 'ISO 8601 with a zone, or a date')
      .option('--end <time>', 'likewise; now, where it is not set');
  about('query [metric]', 'points, newest first')
    .option('--limit <number>', 'so many at most', '50')
    .option('--csv', 'as CSV')
    .action(async (metric: string | undefined, { csv, ...flags }: Flags) =>
      query(context, metric, flags, csv === true),
    );
  about('aggregate <metric>', 'by minutes, hours, days, weeks or months')
    .option('--granularity <unit>', 'MINUTE, HOUR, DAY, WEEK or MONTH', 'HOUR')
    .option('--timezone <zone>', 'whose days and months', 'UTC')
    .option('--group_by <what>', 'none, resource or series', 'none')
    .action(async (metric: string, flags: Flags) =>
      context.print(await context.tower().get<AggregateAnswer>(path('aggregate', metric, flags)), aggregateText),
    );
  about('anomalies <metric>', 'what was unusual, and why')
    .option('--method <name>', 'calibrated, zscore, esd or peers', 'calibrated')
    .action(async (metric: string, flags: Flags) =>
      context.print(await context.tower().get<AnomaliesAnswer>(path('anomalies', metric, flags)), anomaliesText),
    );
  about('trend <metric>', 'whether it rises or falls, and how fast').action(async (metric: string, flags: Flags) =>
    context.print(await context.tower().get<TrendAnswer>(path('trend', metric, flags)), trendText),
  );
  about('forecast <metric>', 'where it will be')
    .option('--periods_ahead <steps>', 'steps ahead', '10')
    .option('--method <name>', 'fused or exponential_smoothing', 'fused')
    .action(async (metric: string, flags: Flags) =>
      context.print(await context.tower().get<MetricForecastAnswer>(path('forecast', metric, flags)), forecastText),
    );
  metrics
    .command('baselines [metric]')
    .description('what is usual')
    .option('--resource <name>', 'of this resource (or component) alone')
    .action(async (metric: string | undefined, flags: Flags) => printBaselines(context, metric, flags));
}

const digits = (value: number | null): number | null => (value === null ? null : Number(value.toPrecision(5)));
const noted = (notes: string[]): string[] => notes.map((note) => `note: ${note}`);

async function query(context: CliContext, metric: string | undefined, flags: Flags, csv: boolean): Promise<void> {
  const { points, truncated } = await context
    .tower()
    .get<{ points: Point[]; truncated: boolean }>(path('metrics', metric, flags));
  const rows = points.map((point) => [point.timestamp, point.metric, point.resource, point.labels, point.value]);
  if (csv) return context.out(stringify([['timestamp', 'metric', 'resource', 'labels', 'value'], ...rows]).trimEnd());
  context.print(points, () =>
    [
      table(['TIME', 'METRIC', 'RESOURCE', 'LABELS', 'VALUE'], rows),
      '',
      sparkline(points.map(({ value }) => value).toReversed()),
      ...(truncated ? ['there are older ones: --limit, --start'] : []),
    ].join('\n'),
  );
}

const aggregateText = ({ groups, notes }: AggregateAnswer): string =>
  [
    ...groups.flatMap(({ resource, labels, buckets }) => [
      ...(resource === null ? [] : [`${resource} ${labels ? JSON.stringify(labels) : ''}`.trimEnd()]),
      table(
        [
          'FROM',
          'POINTS',
          'MEAN',
          'LEAST',
          'GREATEST',
          ...Object.keys(buckets[0]?.percentiles ?? {}).map((name) => name.toUpperCase()),
        ],
        buckets.map(({ start, count, mean, min, max, percentiles }) => [
          start,
          count,
          digits(mean),
          digits(min),
          digits(max),
          ...Object.values(percentiles).map(digits),
        ]),
      ),
      sparkline(buckets.map(({ mean }) => mean)),
    ]),
    ...(groups.length === 0 ? ['there is no such series'] : []),
    ...noted(notes),
  ].join('\n');

const anomaliesText = ({ anomalies, series, method, notes }: AnomaliesAnswer): string =>
  [
    ...(anomalies.length === 0
      ? [`nothing unusual in ${series} series (${method})`]
      : [
          table(
            ['TIME', 'RESOURCE', 'VALUE', 'SCORE', 'WHY'],
            anomalies.map(({ timestamp, resource, value, score, reason }) => [
              timestamp,
              resource,
              digits(value),
              digits(score),
              reason,
            ]),
            120,
          ),
        ]),
    ...noted(notes),
  ].join('\n');

function trendText({
  metric,
  direction,
  slope_per_day,
  slope_per_day_low,
  slope_per_day_high,
  p,
  changepoints,
  start,
  end,
}: TrendAnswer): string {
  if (slope_per_day === null) return `${metric}: too few points from ${start} to ${end} to say`;
  return [
    `${metric}: ${direction}, ${digits(slope_per_day)} a day (95 %: ${digits(slope_per_day_low)} to ${digits(slope_per_day_high)}), p = ${digits(p)}`,
    ...changepoints.map(({ at, before, after }) => `level changed at ${at} from ${digits(before)} to ${digits(after)}`),
  ].join('\n');
}

const forecastText = ({ points, confidence, backtest, notes }: MetricForecastAnswer): string =>
  [
    table(
      ['FROM', 'FORECAST', 'LOWER 90 %', 'UPPER 90 %'],
      points.map(({ timestamp, value, lower, upper }) => [timestamp, digits(value), digits(lower), digits(upper)]),
    ),
    '',
    backtest
      ? `off by ${digits(backtest.mae)} on average at ${backtest.windows} earlier ends`
      : 'too short to say how good such forecasts have been',
    ...(confidence === null ? [] : [`within ±20 % with probability ${Math.round(confidence * 100)} %`]),
    ...noted(notes),
  ].join('\n');

async function printBaselines(context: CliContext, metric: string | undefined, flags: Flags): Promise<void> {
  context.print(await context.tower().get<BaselinesAnswer>(path('baselines', metric, flags)), ({ baselines }) =>
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
    found.length === 0
      ? `nothing was recorded of ${component}`
      : table(
          ['METRIC', 'LAST', 'A DAY', 'TREND', 'ANOMALIES', 'LAST POINTS'],
          found.map((each) => [
            each.metric,
            digits(each.last),
            digits(each.slope_per_day),
            each.direction,
            each.anomalies,
            sparkline(each.values),
          ]),
          64,
        ),
  );
}

/** This host's CPU since the last sample and its memory now, in per cent. */
async function collect(context: CliContext, seconds: number, looks: number | null): Promise<void> {
  if (!(seconds >= 1 && seconds <= 86_400)) throw invalid('--interval must be a number from 1 to 86400');
  if (looks !== null && !(looks >= 1)) throw invalid('--count must be a whole number from 1');
  let before = cpuTimes();
  for (let look = 0; looks === null || look < looks; look += 1) {
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
