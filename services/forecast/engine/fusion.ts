import { median } from '#kernel/stats.ts';
import type { Fitted, Member } from '../members/member.ts';
import { meanAbsoluteError } from './scores.ts';
import type { Series } from './series.ts';

/** What members said at earlier ends of the series, and how much each is therefore listened to. */

/** A look back: what was known up to `end`, what then came. */
export type Origin = { end: number; actual: Float64Array };

export type Tried = {
  name: string;
  /** Forecasts at each origin; empty where the member could not be tried. */
  forecasts: Float64Array[];
  /** Mean absolute error over all origins and steps; null where the member could not be tried. */
  error: number | null;
  /** Why it could not. */
  failure: string | null;
  /** The fit at the earliest origin. */
  earliest: Fitted | null;
};

/** `median`: of all that can be fitted, where nothing could be tried; `fixed`: 0.4 Prophet and 0.6 LSTM. */
export type FusionMode = 'weighted' | 'median' | 'fixed';

/** The fixed blend's shares. */
export const fixedShares = { prophet: 0.4, lstm: 0.6 };

export type Weighted = { name: string; weight: number; left_out: string | null };

/**
 * The ends at which members are tried: the newest is `horizon` steps before the end of the series, the others half a
 * horizon (or a season, where that is shorter) before each other. Fewer, or none, for short series.
 */
export function originsOf({ values, periods }: Series, horizon: number, count: number): Origin[] {
  const length = Math.min(horizon, Math.max(1, Math.floor(values.length / 4)));
  const stride = Math.max(1, Math.min(periods[0] ?? length, Math.ceil(length / 2)));
  const least = Math.max(3, length, Math.floor(values.length / 3));
  return Array.from({ length: count }, (_, k) => values.length - length - k * stride)
    .filter((end) => end >= least)
    .map((end) => ({ end, actual: values.slice(end, end + length) }));
}

const upTo = (series: Series, end: number): Series => ({
  ...series,
  values: series.values.slice(0, end),
  periods: series.periods.filter((period) => end >= 2 * period),
});

/** Every member at every origin. Those that can go on from an earlier fit are fitted once, at the earliest. */
export function tryMembers(members: Member[], series: Series, origins: Origin[], horizon: number): Tried[] {
  const length = origins[0]?.actual.length ?? 0;
  return members.map((member) => {
    const { name } = member;
    const shortest = upTo(series, origins.at(-1)?.end ?? 0);
    if (origins.length === 0 || member.needs(shortest, horizon) > shortest.values.length)
      return { name, forecasts: [], error: null, failure: 'the series is too short to try it', earliest: null };
    try {
      const earliest = member.fit(shortest, horizon);
      const forecasts = origins.map(({ end }, k) => {
        const known = upTo(series, end);
        const fitted =
          k === origins.length - 1 ? earliest : (earliest.continued?.(known) ?? member.fit(known, horizon));
        return finite(fitted.predict(length));
      });
      const errors = forecasts.map((forecast, k) => meanAbsoluteError(origins[k]!.actual, forecast));
      return {
        name,
        forecasts,
        error: errors.reduce((total, error) => total + error / errors.length, 0),
        failure: null,
        earliest,
      };
    } catch (error) {
      return { name, forecasts: [], error: null, failure: `could not be fitted: ${reasonOf(error)}`, earliest: null };
    }
  });
}

/** @throws RangeError for a forecast that is no number */
export function finite(forecast: Float64Array): Float64Array {
  if (!forecast.every(Number.isFinite)) throw new RangeError('the forecast is not finite');
  return forecast;
}

/** augurs throws strings. */
export const reasonOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/**
 * Weights by the inverse of the error to the third power. A member whose error is twice the best one's gets nothing, nor
 * does one that is a quarter worse than the better of persistence and the seasonal naive forecast. Origins, power and
 * gate were chosen on earlier ends of M4's hourly training series (docs/forecast.md).
 */
export function weigh(tried: Tried[]): Weighted[] {
  const errors = tried.flatMap(({ error }) => (error === null ? [] : [error]));
  const best = Math.min(...errors);
  const baselines = tried
    .filter(({ name }) => isBaseline(name))
    .flatMap(({ error }) => (error === null ? [] : [error]));
  const bar = Math.min(...baselines, Number.POSITIVE_INFINITY);
  // Errors of nothing at all would weigh infinitely.
  const floor = Math.max(...errors) * 1e-9 || 1;
  const verdicts = tried.map(({ name, error, failure }) => {
    if (error === null) return { name, weight: 0, left_out: failure };
    if (!isBaseline(name) && error > bar * 1.25)
      return { name, weight: 0, left_out: 'a quarter worse than persistence or the last season' };
    if (error > 2 * best + floor) return { name, weight: 0, left_out: 'more than twice the error of the best member' };
    return { name, weight: ((error + floor) / (best + floor)) ** -3, left_out: null };
  });
  return normalised(verdicts);
}

const isBaseline = (name: string): boolean => name === 'persistence' || name === 'seasonal_naive';

export function normalised(weights: Weighted[]): Weighted[] {
  const total = weights.reduce((sum, { weight }) => sum + weight, 0);
  return weights.map((item) => ({ ...item, weight: total > 0 ? item.weight / total : 0 }));
}

/** The weighted mean of forecasts, step by step. */
export function blend(weights: readonly number[], forecasts: readonly Float64Array[]): Float64Array {
  const length = forecasts[0]?.length ?? 0;
  return Float64Array.from({ length }, (_, h) =>
    forecasts.reduce((total, forecast, i) => total + (weights[i] === 0 ? 0 : weights[i]! * forecast[h]!), 0),
  );
}

export const medianOf = (forecasts: readonly Float64Array[]): Float64Array =>
  Float64Array.from({ length: forecasts[0]?.length ?? 0 }, (_, h) => median(forecasts.map((forecast) => forecast[h]!)));
