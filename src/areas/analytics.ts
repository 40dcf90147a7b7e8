import { analyticsRoutes } from '#routes/analytics.ts';
import { analyticsPromqlRoutes } from '#routes/analytics-promql.ts';
import { analyticsPushRoutes } from '#routes/analytics-push.ts';
import type { Forecaster } from '#services/analytics/analysis/metric-forecast.ts';
import { createAnalytics } from '#services/analytics/analytics.ts';
import { openMetricStore } from '#store/open-store.ts';
import type { Place } from '#store/store.ts';
import type { Area, Frame } from './area.ts';

const minute = 60_000;

/**
 * Metric points, in a database of their own.
 * @throws TowerError `unavailable` for a database that cannot be opened
 */
export async function analyticsArea(
  { config, clock, version, defer }: Frame,
  { forecaster, place }: { forecaster: Forecaster; place: Place },
) {
  const store = await openMetricStore(place);
  defer('metric store', () => store.close());
  const retention = {
    rawDays: config.METRICS_RETENTION_DAYS,
    hourDays: config.METRICS_HOURS_RETENTION_DAYS,
    dayDays: config.METRICS_DAYS_RETENTION_DAYS,
  };
  const analytics = createAnalytics({ store, clock, retention, maxSeries: config.METRICS_MAX_SERIES, forecaster });
  const area: Area = {
    name: 'analytics',
    routes: async (app) => {
      // A scope of its own: its content types are parsed only here.
      await app.register(async (scope) => {
        await scope.register(analyticsRoutes, { analytics });
        await scope.register(analyticsPushRoutes, { analytics });
        await scope.register(analyticsPromqlRoutes, { analytics, version });
      });
    },
    leaderJobs: () => [
      {
        name: 'metrics-seal',
        intervalMs: 5 * minute,
        timeoutMs: 30 * minute,
        firstAfterMs: minute,
        step: (signal) => analytics.seal(signal),
      },
    ],
    scheduledJobs: [
      { kind: 'metrics-retention', everyMs: 360 * minute, run: (signal) => analytics.deleteExpired(signal) },
    ],
  };
  return { analytics, area };
}
