import { countOr } from '#kernel/query.ts';
import type {
  AnomaliesQuery,
  MetricForecastQuery,
  MetricsSummaryQuery,
  TrendQuery,
} from './analysis/analysis-schemas.ts';
import type { PromqlRequests } from './promql/promql-requests.ts';
import type { SeriesQuery as PromqlSeriesQuery } from './promql/schemas.ts';
import { filterOf, spanOf } from './query/query.ts';
import type { AggregateQuery, CollectedPoints, PointsAnswer, PointsQuery, SeriesList, SeriesQuery } from './schemas.ts';
import { dayMs, type Newest, type Reader } from './storage/reader.ts';

/**
 * Every read of metric points, as a function of the current time and a client's query. Runs in the threads of
 * analytics.worker.ts. All throw TowerError `invalid`; analyses are loaded at their first use.
 */
export type Reads = ReturnType<typeof createReads>;

export function createReads(reader: Reader, rawRetentionDays: number) {
  const newest = async (now: number, query: PointsQuery) => {
    const limit = countOr('limit', query.limit, 1000, 10_000);
    return reader.newest(await reader.find(filterOf(query)), spanOf(query, now + 1, rawRetentionDays * dayMs), limit);
  };
  return {
    series: async (_now: number, query: SeriesQuery): Promise<SeriesList> => {
      const series = (await reader.find(filterOf(query))).map(({ metric, resource, labels }) => ({
        metric,
        resource,
        labels,
      }));
      return { series, count: series.length };
    },
    points: async (now: number, query: PointsQuery): Promise<PointsAnswer> => {
      const { points, truncated } = await newest(now, query);
      return { points: points.map(toJson), count: points.length, truncated };
    },
    /** The same in the collector's format. */
    collected: async (now: number, query: PointsQuery): Promise<CollectedPoints> =>
      (await newest(now, query)).points
        .map(toJson)
        .map(({ metric, resource, ...rest }) => ({ ...rest, component: resource, metric_name: metric })),
    aggregate: async (now: number, query: AggregateQuery) =>
      (await import('./query/aggregate.ts')).aggregate(reader, now, query),
    anomalies: async (now: number, query: AnomaliesQuery) =>
      (await import('./analysis/anomalies.ts')).detectAnomalies(reader, now, query),
    trend: async (now: number, query: TrendQuery) =>
      (await import('./analysis/metric-forecast.ts')).calculateTrend(reader, now, query),
    /** The series that `forecastOf` forecasts. Also `not_found` without points. */
    forecastInput: async (now: number, query: MetricForecastQuery) =>
      (await import('./analysis/metric-forecast.ts')).forecastInput(reader, now, query),
    baselines: async (now: number, query: SeriesQuery) =>
      (await import('./analysis/metric-forecast.ts')).baselines(reader, now, query),
    summary: async (now: number, query: MetricsSummaryQuery) =>
      (await import('./analysis/metrics-summary.ts')).metricsSummary(reader, now, query),
    ...promqlOf(reader),
  };
}

const toJson = ({ at, value, series: { metric, resource, labels } }: Newest['points'][number]) => ({
  timestamp: new Date(at).toISOString(),
  metric,
  resource,
  labels,
  value: Number.isFinite(value) ? value : null,
});

const success = <T>(data: T) => ({ status: 'success' as const, data });

/** Prometheus' query API. Its grammar and regular expressions are loaded at the first query. */
function promqlOf(reader: Reader) {
  let loaded: Promise<PromqlRequests> | null = null;
  const promql = () =>
    (loaded ??= Promise.all([import('./promql/promql.ts'), import('./promql/promql-requests.ts')]).then(
      ([{ createPromql }, { createPromqlRequests }]) => createPromqlRequests(createPromql(reader)),
    ));
  return {
    promqlInstant: async (now: number, query: { query: string; time?: string | undefined }) =>
      success(await (await promql()).instant(now, query)),
    promqlRange: async (_now: number, query: { query: string; start: string; end: string; step: string }) =>
      success(await (await promql()).range(query)),
    promqlSeries: async (_now: number, query: PromqlSeriesQuery) => success(await (await promql()).series(query)),
    promqlLabelNames: async (_now: number, query: PromqlSeriesQuery) =>
      success(await (await promql()).labelNames(query)),
    promqlLabelValues: async (_now: number, name: string, query: PromqlSeriesQuery) =>
      success(await (await promql()).labelValues(name, query)),
  };
}
