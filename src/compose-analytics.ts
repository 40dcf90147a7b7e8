import { type Analytics, createAnalytics } from '../services/analytics/analytics.ts';
import type { Forecaster } from '../services/analytics/outlook.ts';
import type { Config } from './config.ts';
import type { Clock } from './kernel/clock.ts';
import { invalid } from './kernel/errors.ts';
import type { Releaser } from './kernel/lifecycle.ts';
import { openMetricStore, type Place } from './store/store.ts';

/**
 * Metric points in a file of their own.
 * @throws TowerError `invalid` for settings that do not fit together, `unavailable` for a file that cannot be opened
 */
export async function composeAnalytics(
  config: Config,
  place: Place,
  clock: Clock,
  releaser: Releaser,
  forecaster: Forecaster,
): Promise<Analytics> {
  const retention = {
    rawDays: config.METRICS_RETENTION_DAYS,
    hourDays: config.METRICS_HOURS_RETENTION_DAYS,
    dayDays: config.METRICS_DAYS_RETENTION_DAYS,
  };
  if (retention.rawDays > retention.hourDays || retention.hourDays > retention.dayDays)
    throw invalid(
      'METRICS_RETENTION_DAYS, METRICS_HOURS_RETENTION_DAYS and METRICS_DAYS_RETENTION_DAYS must not fall',
      {
        parameter: 'METRICS_RETENTION_DAYS',
      },
    );
  const store = await openMetricStore(place);
  releaser.defer('metric store', () => store.close());
  return createAnalytics({ store, clock, retention, mostSeries: config.METRICS_MAX_SERIES, forecaster });
}
