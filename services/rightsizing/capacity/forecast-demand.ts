import { TowerError } from '#kernel/errors.ts';
import { normalUpper } from '#kernel/stats.ts';
import type { Forecast } from '#services/forecast/forecast.ts';
import { createCoverageTracker } from '../sizers/coverage.ts';
import { day, hour, quantileOf, sorted, type Usage } from '../usage.ts';

/**
 * Traffic of the coming day by the forecast engine: of each hour the quantile that is stated, forecast with its uncertainty;
 * then the least level that all hours together exceed in the stated share. What that would have kept of the days before
 * corrects it (Gibbs and Candès 2021, adaptive conformal inference, in logarithms).
 */

export type Forecaster = Pick<Forecast, 'forecast'>;

/** Forecast from so much, and corrected by as many days of the rest. */
const seenMs = 14 * day;
const leastSeenMs = 7 * day;
/** How far one day corrects what follows: ln units per share. */
const pull = 0.5;
/** Normal deviates of the upper end of an interval of 90 %. */
const upperDeviate = 1.6449;

/** So many days' worth of belief that so many keep the stated share, chosen on the series that `bench/` names as looked at. */
const belief = { horizons: 20, kept: 0.82 };

/** `confidences`: probability that no more than the stated share of the day's samples is above it, by factors of it. */
export type DayAhead = { level: number; confidences: number[] };

/**
 * @param rate - requests per second
 * @param violation - stated share of the day's samples above
 * @returns requests per second; null where there is less than a week, or the engine has no uncertainty to give
 * @throws TowerError `unavailable` where the engine takes too long
 */
export async function dayByForecast(
  forecaster: Forecaster,
  rate: Usage,
  violation: number,
  signal?: AbortSignal,
): Promise<DayAhead | null> {
  const perDay = Math.round(day / rate.stepMs);
  const known = rate.values.findIndex((value) => !Number.isNaN(value));
  const days = known === -1 ? -1 : Math.floor((rate.values.length - known) / perDay) - leastSeenMs / day;
  if (days < 0) return null;
  const coverage = createCoverageTracker(belief);
  let correction = 0;
  for (let ago = days; ; ago -= 1) {
    const end = rate.values.length - ago * perDay;
    const level = await levelAfter(forecaster, rate, end, violation, signal);
    if (level === null) return null;
    const request = level * Math.exp(correction);
    if (ago === 0) return { level: request, confidences: coverage.confidences() };
    const came = sorted(rate.values.subarray(end, end + perDay));
    if (came.length === 0) continue;
    const above = (level: number) => came.filter((value) => value > level).length / came.length;
    correction += pull * (above(request) - violation);
    coverage.add(1, (factor) => above(request * factor) <= violation);
  }
}

/** From what was known at a moment. */
async function levelAfter(
  forecaster: Forecaster,
  { stepMs, values }: Usage,
  end: number,
  violation: number,
  signal?: AbortSignal,
) {
  const perHour = Math.round(hour / stepMs);
  const first = Math.max(end % perHour, end - Math.round(seenMs / stepMs));
  const hours: (number | null)[] = [];
  for (let at = first; at + perHour <= end; at += perHour) {
    const own = sorted(values.subarray(at, at + perHour));
    hours.push(own.length === 0 ? null : quantileOf(own, 1 - violation));
  }
  const question = { values: hours, step_seconds: 3600, horizon: 24, interval_width: 0.9 };
  const { forecast } = await forecaster
    .forecast({ ...question, confidence_tolerance: 0.2, fusion: 'weighted' }, signal)
    .catch((error: unknown) => {
      // Too little of it is known.
      if (error instanceof TowerError && error.code === 'invalid') return { forecast: [] };
      throw error;
    });
  if (forecast.length === 0 || forecast.some(({ upper }) => upper === null)) return null;
  const coming = forecast.map(({ value, upper }) => ({
    value,
    spread: Math.max(1e-9, (upper! - value) / upperDeviate),
  }));
  const shareAbove = (level: number) =>
    coming.reduce((sum, { value, spread }) => sum + normalUpper((level - value) / spread), 0) / coming.length;
  let [low, high] = [0, Math.max(...coming.map(({ value, spread }) => value + 10 * spread), 1e-9)];
  for (let halving = 0; halving < 60; halving += 1) {
    const middle = (low + high) / 2;
    if (shareAbove(middle) > violation) low = middle;
    else high = middle;
  }
  return high;
}
