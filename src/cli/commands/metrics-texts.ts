import type {
  AnomaliesAnswer,
  MetricForecastAnswer,
  TrendAnswer,
} from '#services/analytics/analysis/analysis-schemas.ts';
import type { AggregateAnswer } from '#services/analytics/schemas.ts';
import { sparkline, table } from '../table.ts';

/** Text output of analyses of metrics. */

export const digits = (value: number | null): number | null => (value === null ? null : Number(value.toPrecision(5)));
const noted = (notes: string[]): string[] => notes.map((note) => `note: ${note}`);

export const aggregateText = ({ groups, notes }: AggregateAnswer): string =>
  [
    ...groups.flatMap(({ resource, labels, buckets }) => [
      ...(resource === null ? [] : [`${resource} ${labels ? JSON.stringify(labels) : ''}`.trimEnd()]),
      table(
        [
          'FROM',
          'POINTS',
          'MEAN',
          'MIN',
          'MAX',
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
    ...(groups.length === 0 ? ['no matching series'] : []),
    ...noted(notes),
  ].join('\n');

export const anomaliesText = ({ anomalies, series, evaluated_series, method, notes }: AnomaliesAnswer): string =>
  [
    ...(anomalies.length === 0
      ? [
          evaluated_series === 0 && series > 0
            ? `none of ${series} series could be evaluated (${method})`
            : `no anomalies in ${evaluated_series} of ${series} series (${method})`,
        ]
      : [
          table(
            ['TIME', 'RESOURCE', 'VALUE', 'SCORE', 'REASON'],
            anomalies.map(({ timestamp, resource, value, score, reason }) => [
              timestamp,
              resource,
              digits(value),
              digits(score),
              reason,
            ]),
          ),
        ]),
    ...noted(notes),
  ].join('\n');

export function trendText({
  metric,
  direction,
  reason,
  slope_per_day,
  slope_per_day_low,
  slope_per_day_high,
  p,
  changepoints,
  start,
  end,
}: TrendAnswer): string {
  if (slope_per_day === null) return `${metric}: too few points from ${start} to ${end}${reason ? ` (${reason})` : ''}`;
  return [
    `${metric}: ${direction}, ${digits(slope_per_day)} per day (95 %: ${digits(slope_per_day_low)} to ${digits(slope_per_day_high)}), p = ${digits(p)}`,
    ...(reason === null ? [] : [reason]),
    `time range: ${start} to ${end}`,
    ...changepoints.map(({ at, before, after }) => `level changed at ${at} from ${digits(before)} to ${digits(after)}`),
  ].join('\n');
}

export const forecastText = ({ points, confidence, backtest, notes }: MetricForecastAnswer): string =>
  [
    table(
      ['FROM', 'FORECAST', 'LOWER 90 %', 'UPPER 90 %'],
      points.map(({ timestamp, value, lower, upper }) => [timestamp, digits(value), digits(lower), digits(upper)]),
    ),
    '',
    backtest
      ? `mean absolute error ${digits(backtest.mae)} at ${backtest.windows} earlier origins`
      : 'too short to measure the accuracy',
    ...(confidence === null ? [] : [`within ±20 % with probability ${Math.round(confidence * 100)} %`]),
    ...noted(notes),
  ].join('\n');
