import type { Clock } from '#kernel/clock.ts';
import { createAnalytics } from '#services/analytics/analytics.ts';
import type { Query } from '#services/analytics/queries.ts';
import { createReads, type Reads } from '#services/analytics/reads.ts';
import { createReader } from '#services/analytics/storage/reader.ts';
import { handClock } from './sources.ts';
import { metricStoreIn } from './stores.ts';
import { temporaryDirectory } from './tower.ts';

const retention = { rawDays: 35, hourDays: 400, dayDays: 1825 };
export const never = new AbortController().signal;
const none = () => Promise.reject(new Error('nobody forecasts here'));
const noForecasts = { forecast: none, backtest: none };

type Bound = {
  [Name in keyof Reads]: (
    ...args: Parameters<Reads[Name]> extends [number, ...infer Rest] ? Rest : never
  ) => ReturnType<Reads[Name]>;
};

/** Analytics over a directory, with its reads in this thread. */
export function analyticsIn(directory = temporaryDirectory(), maxSeries = 1000) {
  const clock = handClock();
  return { ...analyticsAt(clock, directory, maxSeries), clock, now: clock.now() };
}

/** The same by another clock. */
export function analyticsAt(clock: Clock, directory: string, maxSeries: number) {
  const store = metricStoreIn(directory);
  const reads = createReads(createReader(store), retention.rawDays);
  type Call = (now: number, ...args: unknown[]) => Promise<unknown>;
  const call = (name: keyof Reads, args: unknown[]) => (reads[name] as Call)(clock.now(), ...args);
  const query: Query = async (name, args) => new TextEncoder().encode(JSON.stringify(await call(name, args)));
  const bound = Object.fromEntries(
    Object.keys(reads).map((name) => [name, (...args: unknown[]) => call(name as keyof Reads, args)]),
  ) as Bound;
  return {
    analytics: {
      ...bound,
      ...createAnalytics({
        store,
        clock,
        retention,
        maxSeries,
        forecaster: noForecasts,
        query,
        countPoints: () => undefined,
      }),
    },
    store,
  };
}

/** The answer of a query in a worker thread. */
export const answerOf = async (json: Promise<Uint8Array>) => JSON.parse(new TextDecoder().decode(await json));
export const iso = (ms: number) => new Date(ms).toISOString();
