import { TowerError } from '#kernel/errors.ts';
import { normalUpper } from '#kernel/stats.ts';
import type { Forecast } from '#services/forecast/forecast.ts';
import { createCoverageTracker } from '../sizers/coverage.ts';
import { day, hour, quantileOf, sorted, type Usage } from '../usage.ts';

/**
 * Traffic of the coming day by the forecast engine: per hour the forecast quantile with its uncertainty, then the
 * lowest level that all hours together exceed in the stated share. The coverage on earlier days corrects it (adaptive
 * conformal inference in logarithms, Gibbs and Candès 2021).
 */

export type Forecaster = Pick<Forecast, 'forecast'>;

/** History used for a forecast; earlier days are used for the correction. */
const seenMs = 14 * day;
const minHistoryMs = 7 * day;
/** Step of the correction: ln units per share. */
const correctionStep = 0.5;
/** Standard normal quantile of the upper end of a 90 % interval. */
const upperDeviate = 1.6449;

/** Prior coverage and its weight in days, chosen on the series that `bench/` lists as used for development. */
const prior = { horizons: 20, kept: 0.82 };

/** `confidences`: probability that at most the stated share of the day's samples is above the level, by factor. */
export type DayAhead = { level: number; confidences: number[] };

/**
 * @param rate - requests per second
 * @param violation - stated share of samples above
 * @returns requests per second; null with less than a week of history, or if the engine has no uncertainty
 * @throws TowerError `unavailable` if the engine times out
 */
export async function dayByForecast(
  forecaster: Forecaster,
  rate: Usage,
  violation: number,
  signal?: AbortSignal,
): Promise<DayAhead | null> {
  const perDay = Math.round(day / rate.stepMs);
  const known = rate.values.findIndex((value) => !Number.isNaN(value));
  const days = known === -1 ? -1 : Math.floor((rate.values.length - known) / perDay) - minHistoryMs / day;
  if (days < 0) return null;
  const coverage = createCoverageTracker(prior);
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
    correction += correctionStep * (above(request) - violation);
    coverage.add(1, (factor) => above(request * factor) <= violation);
  }
}

/** Level computed from the history up to a time. */
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
      // Too little history.
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
