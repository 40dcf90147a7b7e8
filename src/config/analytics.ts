import { z } from 'zod';
import { number } from './kinds.ts';

/** Settings of metric points. */
export const analyticsSettings = z.object({
  METRICS_RETENTION_DAYS: number(35, 1, 20_000).describe('How long every metric point is kept'),
  METRICS_HOURS_RETENTION_DAYS: number(400, 1, 20_000).describe(
    '… and what each hour held: count, sum, least, greatest, spread, quantiles',
  ),
  METRICS_DAYS_RETENTION_DAYS: number(1825, 1, 20_000).describe('… and what each day held (UTC)'),
  METRICS_MAX_SERIES: number(100_000, 1, 10_000_000).describe(
    'Most series of metrics; a point that would begin another one is refused',
  ),
});
