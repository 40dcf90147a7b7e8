import { median } from '#kernel/stats.ts';
import type { Fitted, Member } from '../members/member.ts';
import { meanAbsoluteError } from './scores.ts';
import type { Series } from './series.ts';

/** Forecasts of the members at earlier origins, and the weights derived from their errors. */

/** An origin: `end` of the known history, and the values after it. */
export type Origin = { end: number; actual: Float64Array };

export type Evaluated = {
  name: string;
  /** Forecasts at each origin; empty if the member could not be evaluated. */
  forecasts: Float64Array[];
  /** Mean absolute error over all origins and steps; null if the member could not be evaluated. */
  error: number | null;
  /** Reason of the failure. */
  failure: string | null;
  /** The fit at the earliest origin. */
  earliest: Fitted | null;
};

/** `median`: of all members that can be fitted, if there are no origins; `fixed`: 0.4 Prophet and 0.6 LSTM. */
export type FusionMode = 'weighted' | 'median' | 'fixed';

/** Weights of the fixed blend. */
export const fixedShares = { prophet: 0.4, lstm: 0.6 };

export type Weighted = { name: string; weight: number; left_out: string | null };

/**
 * Origins at which members are evaluated: the newest is `horizon` steps before the end of the series, the others are
 * half a horizon (or a season, if shorter) apart. Short series have fewer, or none.
 */
export function originsOf({ values, periods }: Series, horizon: number, count: number): Origin[] {
  const length = Math.min(horizon, Math.max(1, Math.floor(values.length / 4)));
  const stride = Math.max(1, Math.min(periods[0] ?? length, Math.ceil(length / 2)));
  const least = Math.max(3, length, Math.floor(values.length / 3));
  return Array.from({ length: count }, (_, k) => values.length - length - k * stride)
    .filter((end) => end >= least)
    .map((end) => ({ end, actual: values.slice(end, end + length) }));
}

/** The series up to an origin. */
export const upTo = (series: Series, end: number): Series => ({
  ...series,
  values: series.values.slice(0, end),
  periods: series.periods.filter((period) => end >= 2 * period),
});

/**
 * Evaluates every member at every origin. Members that can continue an earlier fit are fitted once, at the earliest
 * origin.
 */
export function evaluateMembers(members: Member[], series: Series, origins: Origin[], horizon: number): Evaluated[] {
  const length = origins[0]?.actual.length ?? 0;
  return members.map((member) => {
    const { name } = member;
    const shortest = upTo(series, origins.at(-1)?.end ?? 0);
    // With more values a series has more seasons, for which a member can need more values.
    if (member.needs(series, horizon) > series.values.length)
      return { name, forecasts: [], error: null, failure: 'the series is too short', earliest: null };
    if (origins.length === 0 || member.needs(shortest, horizon) > shortest.values.length)
      return { name, forecasts: [], error: null, failure: 'the series is too short to evaluate it', earliest: null };
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
      return { name, forecasts: [], error: null, failure: `failed to fit: ${reasonOf(error)}`, earliest: null };
    }
  });
}

/** @throws RangeError for a forecast that is not finite */
export function finite(forecast: Float64Array): Float64Array {
  if (!forecast.every(Number.isFinite)) throw new RangeError('the forecast is not finite');
  return forecast;
}

/** augurs throws strings. */
export const reasonOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/**
 * Weights are the inverse error, cubed. Weight 0 for members with more than twice the smallest error, or more than 1.25
 * times the smaller error of persistence and the seasonal naive forecast. Origins, power and gate were chosen on
 * earlier parts of M4's hourly training series (docs/concepts/forecasting.md).
 */
export function weigh(evaluated: Evaluated[]): Weighted[] {
  const errors = evaluated.flatMap(({ error }) => (error === null ? [] : [error]));
  const best = Math.min(...errors);
  const baselines = evaluated
    .filter(({ name }) => isBaseline(name))
    .flatMap(({ error }) => (error === null ? [] : [error]));
  const bar = Math.min(...baselines, Number.POSITIVE_INFINITY);
  // Avoids infinite weights for errors of zero.
  const floor = Math.max(...errors) * 1e-9 || 1;
  const verdicts = evaluated.map(({ name, error, failure }) => {
    if (error === null) return { name, weight: 0, left_out: failure };
    if (!isBaseline(name) && error > bar * 1.25)
      return {
        name,
        weight: 0,
        left_out: 'error more than 25 % above that of persistence or the seasonal naive forecast',
      };
    if (error > 2 * best + floor) return { name, weight: 0, left_out: 'error more than twice that of the best member' };
    return { name, weight: ((error + floor) / (best + floor)) ** -3, left_out: null };
  });
  return normalised(verdicts);
}

const isBaseline = (name: string): boolean => name === 'persistence' || name === 'seasonal_naive';

export function normalised(weights: Weighted[]): Weighted[] {
  const total = weights.reduce((sum, { weight }) => sum + weight, 0);
  return weights.map((item) => ({ ...item, weight: total > 0 ? item.weight / total : 0 }));
}

/** Weighted mean of forecasts, by step. */
export function blend(weights: readonly number[], forecasts: readonly Float64Array[]): Float64Array {
  const length = forecasts[0]?.length ?? 0;
  return Float64Array.from({ length }, (_, h) =>
    forecasts.reduce((total, forecast, i) => total + (weights[i] === 0 ? 0 : weights[i]! * forecast[h]!), 0),
  );
}

export const medianOf = (forecasts: readonly Float64Array[]): Float64Array =>
  Float64Array.from({ length: forecasts[0]?.length ?? 0 }, (_, h) => median(forecasts.map((forecast) => forecast[h]!)));
