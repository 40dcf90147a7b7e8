import type { Clock } from '#kernel/clock.ts';
import type { MetricStore } from '#store/store.ts';
import type { MetricForecastAnswer, MetricForecastQuery } from './analysis/analysis-schemas.ts';
import type { Forecaster, ForecastInput } from './analysis/metric-forecast.ts';
import type { Written } from './ingest/push.ts';
import type { RemoteWriteVersion } from './ingest/remote-write.ts';
import { buildRecordAnswer, isPoint, validateRows } from './ingest/rows.ts';
import type { Query } from './queries.ts';
import type { RecordAnswer, RecordRequest } from './schemas.ts';
import { createRecorder } from './storage/recorder.ts';
import type { Retention } from './storage/seal.ts';

/** Metric points: recording, storage, queries and analyses. */
export type Analytics = ReturnType<typeof createAnalytics>;

type Deps = {
  store: MetricStore;
  clock: Clock;
  retention: Retention;
  maxSeries: number;
  forecaster: Forecaster;
  query: Query;
  /** Counts points of the current client. @throws TowerError `limited` */
  countPoints: (points: number) => void;
};

export function createAnalytics({ store, clock, retention, maxSeries, forecaster, query, countPoints }: Deps) {
  const recorder = createRecorder({ store, maxSeries });
  const rules = () => ({ now: clock.now(), retention, countPoints });
  return {
    /**
     * Records one point, or many, each of which is accepted or refused by itself. The answer is sent after the commit.
     * @throws TowerError `invalid` for a single point that breaks a rule
     */
    record: async (request: RecordRequest): Promise<RecordAnswer> => {
      const validated = validateRows(request, clock.now(), retention);
      countPoints(validated.length);
      return buildRecordAnswer(validated, await recorder.record(validated.filter(isPoint)));
    },
    /** @throws TowerError `invalid` for bytes that are no remote-write request, or points that cannot be stored */
    takeWrite: async (bytes: Uint8Array, version: RemoteWriteVersion): Promise<Written> =>
      (await import('./ingest/push.ts')).ingestRemoteWrite(bytes, version, recorder, rules()),
    /** Records Prometheus' text exposition format. */
    takeText: async (text: string): Promise<RecordAnswer> =>
      (await import('./ingest/push.ts')).ingestExposition(text, recorder, rules()),
    /** Reads points, see reads.ts, in a worker thread. */
    query,
    /** @throws TowerError `invalid`, `not_found` without points, `unavailable` after the timeout */
    forecast: async (request: MetricForecastQuery, disconnected?: AbortSignal): Promise<MetricForecastAnswer> => {
      const { forecastOf } = await import('./analysis/metric-forecast.ts');
      const input = new TextDecoder().decode(await query('forecastInput', [request], disconnected));
      return forecastOf(forecaster, JSON.parse(input) as ForecastInput, disconnected);
    },
    /** Background steps. */
    seal: async (signal: AbortSignal): Promise<void> =>
      (await import('./storage/seal.ts')).sealHours(store, clock.now(), signal),
    deleteExpired: async (signal: AbortSignal): Promise<void> =>
      (await import('./storage/seal.ts')).deleteExpired(store, clock.now(), retention, signal),
  };
}
