import type { Clock } from '#kernel/clock.ts';
import { countOr } from '#kernel/query.ts';
import type { MetricStore } from '#store/store.ts';
import type {
  AnomaliesAnswer,
  AnomaliesQuery,
  BaselinesAnswer,
  MetricForecastAnswer,
  MetricForecastQuery,
  MetricsSummaryAnswer,
  MetricsSummaryQuery,
  TrendAnswer,
  TrendQuery,
} from './analysis/analysis-schemas.ts';
import type { Forecaster } from './analysis/metric-forecast.ts';
import { buildRecordAnswer, isPoint, validateRows } from './ingest/rows.ts';
import type { PromqlRequests } from './promql/promql-requests.ts';
import { filterOf, spanOf } from './query/query.ts';
import type {
  AggregateAnswer,
  AggregateQuery,
  CollectedPoints,
  PointsAnswer,
  PointsQuery,
  RecordAnswer,
  RecordRequest,
  SeriesList,
  SeriesQuery,
} from './schemas.ts';
import { createReader, dayMs, type Newest, type Reader } from './storage/reader.ts';
import { createRecorder } from './storage/recorder.ts';
import type { Retention } from './storage/seal.ts';

/** Metric points: recording, storage, queries and analyses. */
export type Analytics = ReturnType<typeof createAnalytics>;

type Deps = { store: MetricStore; clock: Clock; retention: Retention; maxSeries: number; forecaster: Forecaster };

export function createAnalytics({ store, clock, retention, maxSeries, forecaster }: Deps) {
  const [recorder, reader] = [createRecorder({ store, maxSeries }), createReader(store)];
  const newest = async (query: PointsQuery) => {
    const limit = countOr('limit', query.limit, 1000, 10_000);
    return reader.newest(
      await reader.find(filterOf(query)),
      spanOf(query, clock.now() + 1, retention.rawDays * dayMs),
      limit,
    );
  };
  let promql: Promise<PromqlRequests> | null = null;
  return {
    /**
     * Records one point, or many, each of which is accepted or refused by itself. The answer is sent after the commit.
     * @throws TowerError `invalid` for a single point that breaks a rule
     */
    record: async (request: RecordRequest): Promise<RecordAnswer> => {
      const validated = validateRows(request, clock.now(), retention);
      return buildRecordAnswer(validated, await recorder.record(validated.filter(isPoint)));
    },
    /** @throws TowerError `invalid` for bytes that are no remote-write request, or points that cannot be stored */
    takeWrite: async (bytes: Uint8Array): Promise<void> =>
      (await import('./ingest/push.ts')).ingestRemoteWrite(bytes, recorder, { now: clock.now(), retention }),
    /** Records Prometheus' text exposition format. */
    takeText: async (text: string): Promise<RecordAnswer> =>
      (await import('./ingest/push.ts')).ingestExposition(text, recorder, { now: clock.now(), retention }),
    series: async (query: SeriesQuery): Promise<SeriesList> => {
      const series = (await reader.find(filterOf(query))).map(({ metric, resource, labels }) => ({
        metric,
        resource,
        labels,
      }));
      return { series, count: series.length };
    },
    /** @throws TowerError `invalid` */
    points: async (query: PointsQuery): Promise<PointsAnswer> => {
      const { points, truncated } = await newest(query);
      return { points: points.map(toJson), count: points.length, truncated };
    },
    /** The same in the collector's format. @throws TowerError `invalid` */
    collected: async (query: PointsQuery): Promise<CollectedPoints> =>
      (await newest(query)).points
        .map(toJson)
        .map(({ metric, resource, ...rest }) => ({ ...rest, component: resource, metric_name: metric })),
    /** @throws TowerError `invalid` */
    aggregate: async (query: AggregateQuery): Promise<AggregateAnswer> =>
      (await import('./query/aggregate.ts')).aggregate(reader, clock.now(), query),
    ...analysesOf(reader, forecaster, clock),
    /** PromQL; its grammar and regular expressions are loaded at the first query. */
    promql: (): Promise<PromqlRequests> => (promql ??= loadPromql(reader, clock.now)),
    /** Background steps. */
    seal: async (signal: AbortSignal): Promise<void> =>
      (await import('./storage/seal.ts')).sealHours(store, clock.now(), signal),
    deleteExpired: async (signal: AbortSignal): Promise<void> =>
      (await import('./storage/seal.ts')).deleteExpired(store, clock.now(), retention, signal),
  };
}

const toJson = ({ at, value, series: { metric, resource, labels } }: Newest['points'][number]) => ({
  timestamp: new Date(at).toISOString(),
  metric,
  resource,
  labels,
  value: Number.isFinite(value) ? value : null,
});

/** Analyses; each is loaded at its first use, which keeps the start fast. */
const analysesOf = (reader: Reader, forecaster: Forecaster, clock: Clock) => ({
  /** @throws TowerError `invalid` */
  anomalies: async (query: AnomaliesQuery): Promise<AnomaliesAnswer> =>
    (await import('./analysis/anomalies.ts')).detectAnomalies(reader, clock.now(), query),
  /** @throws TowerError `invalid` */
  trend: async (query: TrendQuery): Promise<TrendAnswer> =>
    (await import('./analysis/metric-forecast.ts')).calculateTrend(reader, clock.now(), query),
  /** @throws TowerError `invalid`, `not_found` without points, `unavailable` after the timeout */
  forecast: async (query: MetricForecastQuery): Promise<MetricForecastAnswer> =>
    (await import('./analysis/metric-forecast.ts')).forecastMetric(reader, forecaster, clock.now(), query),
  /** @throws TowerError `invalid` */
  baselines: async (query: SeriesQuery): Promise<BaselinesAnswer> =>
    (await import('./analysis/metric-forecast.ts')).baselines(reader, clock.now(), query),
  /** @throws TowerError `invalid` */
  summary: async (query: MetricsSummaryQuery): Promise<MetricsSummaryAnswer> =>
    (await import('./analysis/metrics-summary.ts')).metricsSummary(reader, clock.now(), query),
});

async function loadPromql(reader: Reader, now: () => number): Promise<PromqlRequests> {
  const [{ createPromql }, { createPromqlRequests }] = await Promise.all([
    import('./promql/promql.ts'),
    import('./promql/promql-requests.ts'),
  ]);
  return createPromqlRequests(createPromql(reader), now);
}
