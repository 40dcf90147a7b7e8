import { availableParallelism } from 'node:os';
import { z } from 'zod';
import type { Config } from '#config/config.ts';
import { TowerError } from '#kernel/errors.ts';
import { createQuota } from '#kernel/quota.ts';
import { requester } from '#kernel/requester.ts';
import { createWorkerPool } from '#kernel/worker-pool.ts';
import { analyticsRoutes } from '#routes/analytics.ts';
import { analyticsPromqlRoutes } from '#routes/analytics-promql.ts';
import { analyticsPushRoutes } from '#routes/analytics-push.ts';
import type { Forecaster } from '#services/analytics/analysis/metric-forecast.ts';
import { createAnalytics } from '#services/analytics/analytics.ts';
import { analyticsWorker, createQuery } from '#services/analytics/queries.ts';
import { openMetricStore } from '#store/open-store.ts';
import type { Place } from '#store/store.ts';
import type { Area, Frame } from './area.ts';

const minute = 60_000;
const storeError = z
  .string()
  .nullable()
  .describe('Why metric points cannot be stored or read: a full disk, a damaged file');

/**
 * Metric points, in a database of their own.
 * @throws TowerError `unavailable` for a database that cannot be opened
 */
export async function analyticsArea(frame: Frame, { forecaster, place }: { forecaster: Forecaster; place: Place }) {
  const { config, clock, version, defer } = frame;
  const store = await openMetricStore(place);
  defer('metric store', () => store.close());
  const retention = {
    rawDays: config.METRICS_RETENTION_DAYS,
    hourDays: config.METRICS_HOURS_RETENTION_DAYS,
    dayDays: config.METRICS_DAYS_RETENTION_DAYS,
  };
  const { query, fault: readFault } = openQueries(frame, place, retention.rawDays);
  // PostgreSQL's availability is in `store_error`.
  const fault = () => store.fault() ?? (store.engine === 'sqlite' ? readFault() : null);
  const analytics = createAnalytics({
    store,
    clock,
    retention,
    maxSeries: config.METRICS_MAX_SERIES,
    forecaster,
    query,
    countPoints: pointLimiter(config.RATE_LIMIT_POINTS_PER_MINUTE),
  });
  const area: Area = {
    name: 'analytics',
    health: {
      schema: z.object({ metric_store_error: storeError }).meta({ examples: [{ metric_store_error: null }] }),
      read: () => ({
        status: fault() === null ? 'healthy' : 'degraded',
        metric_store_error: fault(),
      }),
    },
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

/** Threads that read metric points, and why the latest read failed. */
function openQueries({ config, clock, defer }: Frame, place: Place, rawRetentionDays: number) {
  let fault: string | null = null;
  const pool = createWorkerPool(analyticsWorker, queryLimits(config));
  defer('query threads', () => pool.close());
  const query = createQuery({
    pool,
    place,
    clock,
    timeoutMs: config.METRICS_QUERY_TIMEOUT_SECONDS * 1000,
    rawRetentionDays,
    onRead: (now) => {
      // Other parts of a damaged file can still be read.
      if (now !== null || !fault?.includes('damaged')) fault = now;
    },
  });
  return { query, fault: () => fault };
}

/** A dashboard sends a query per panel at once; each thread may use 384 MiB besides the points it reads. */
const queryLimits = ({ METRICS_QUERY_THREADS: threads }: Config) => ({
  threads: threads || Math.max(2, availableParallelism() - 1),
  queue: 256,
  perClient: 64,
  memoryMiB: 384,
});

/** Counts the points that a client records per minute. */
function pointLimiter(limit: number): (points: number) => void {
  const quota = createQuota();
  return (points) => {
    const client = requester.getStore();
    if (client === undefined) return;
    const { isExceeded, resetSeconds } = quota.take(client, points, limit);
    if (isExceeded)
      throw new TowerError(
        'limited',
        `More than ${limit} points per minute (RATE_LIMIT_POINTS_PER_MINUTE); retry in ${resetSeconds} s`,
        { details: { limit, window_seconds: 60 }, retryAfterSeconds: resetSeconds },
      );
  };
}
