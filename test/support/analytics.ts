import { createAnalytics } from '#services/analytics/analytics.ts';
import { handClock } from './sources.ts';
import { metricStoreIn } from './stores.ts';
import { temporaryDirectory } from './tower.ts';

const retention = { rawDays: 35, hourDays: 400, dayDays: 1825 };
export const never = new AbortController().signal;
const none = () => Promise.reject(new Error('nobody forecasts here'));
const noForecasts = { forecast: none, backtest: none };
export function analyticsIn(directory = temporaryDirectory(), maxSeries = 1000) {
  const clock = handClock();
  const store = metricStoreIn(directory);
  return {
    analytics: createAnalytics({ store, clock, retention, maxSeries, forecaster: noForecasts }),
    clock,
    store,
    now: clock.now(),
  };
}
export const iso = (ms: number) => new Date(ms).toISOString();
