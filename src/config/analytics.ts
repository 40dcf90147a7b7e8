import { z } from 'zod';
import { number } from './kinds.ts';

/** Settings of metric points. */
export const analyticsSettings = z.object({
  METRICS_RETENTION_DAYS: number(35, 1, 20_000).describe('Retention of metric points'),
  METRICS_HOURS_RETENTION_DAYS: number(400, 1, 20_000).describe(
    'Retention of hourly aggregates: count, sum, minimum, maximum, spread, quantiles',
  ),
  METRICS_DAYS_RETENTION_DAYS: number(1825, 1, 20_000).describe('Retention of daily aggregates (UTC)'),
  METRICS_MAX_SERIES: number(100_000, 1, 10_000_000).describe(
    'Maximum number of metric series; points of further series are refused',
  ),
  METRICS_QUERY_THREADS: number(0, 0, 256).describe(
    'Number of threads that read metric points; 0: number of cores - 1, at least 2',
  ),
  METRICS_QUERY_TIMEOUT_SECONDS: number(30, 1, 3600).describe('Timeout of one query of metric points'),
});
