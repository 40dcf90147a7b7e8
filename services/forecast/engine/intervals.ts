import { mean, normalUpperQuantile, studentUpperQuantile } from '#kernel/stats.ts';
import type { Evaluated, Origin } from './fusion.ts';
import { meanAbsoluteError } from './scores.ts';

/**
 * Errors of the fused forecast at earlier origins: `shape` is the typical error by step, `scores` are all errors
 * divided by it, sorted; `errors` are actual minus forecast, by origin, newest first.
 */
export type Residuals = { shape: Float64Array; scores: Float64Array; origins: number; errors: Float64Array[] };

/** Combines members' forecasts, given their errors elsewhere. */
export type Combine = (members: Evaluated[], forecasts: Float64Array[]) => Float64Array;

/**
 * Errors of the fused forecast; the weights for each origin come from the other origins, since its own would make it
 * look better than it is. Null with fewer than two origins, or without members.
 */
export function fusedResiduals(evaluated: Evaluated[], origins: Origin[], combine: Combine): Residuals | null {
  const usable = evaluated.filter(({ error }) => error !== null);
  if (origins.length < 2 || usable.length === 0) return null;
  const errors = origins.map(({ actual }, k) => {
    const others = usable.map((member) => withoutOrigin(member, origins, k));
    const forecast = combine(
      others,
      usable.map(({ forecasts }) => forecasts[k]!),
    );
    return actual.map((value, h) => value - forecast[h]!);
  });
  const length = origins[0]!.actual.length;
  const profile = Float64Array.from({ length }, (_, h) =>
    errors.reduce((total, error) => total + Math.abs(error[h]!) / errors.length, 0),
  );
  const overall = profile.reduce((total, value) => total + value / length, 0);
  // A single step has few errors: half comes from its neighbourhood, half from all steps.
  const shape = profile.map((_, h) => {
    const near = profile.slice(Math.max(0, h - 3), h + 4);
    return (near.reduce((total, value) => total + value / near.length, 0) + overall) / 2;
  });
  const scores = errors.flatMap((error) =>
    [...error].map((value, h) => (shape[h]! > 0 ? Math.abs(value) / shape[h]! : 0)),
  );
  return { shape, scores: Float64Array.from(scores).sort(), origins: origins.length, errors };
}

function withoutOrigin(member: Evaluated, origins: Origin[], left: number): Evaluated {
  const errors = origins.flatMap(({ actual }, k) =>
    k === left ? [] : [meanAbsoluteError(actual, member.forecasts[k]!)],
  );
  return { ...member, error: mean(errors) };
}

/**
 * Half-width of the interval by step: the conformal quantile of the scores times the typical error of the step, widened
 * by the ratio of Student's to the normal quantile, since errors within an origin are correlated and origins are few.
 * Steps beyond the evaluated ones widen with the square root of their distance.
 */
export function halfWidths(residuals: Residuals, level: number, horizon: number, smallest: number): Float64Array {
  const factor = factorOf(residuals, level);
  return Float64Array.from({ length: horizon }, (_, h) => Math.max(smallest, factor * usualError(residuals, h)));
}

/** A two-hundredth of the mean change: no errors at a few origins do not make a series certain. */
export const smallestWidth = (values: Float64Array): number =>
  values.reduce((sum, value, i) => sum + (i === 0 ? 0 : Math.abs(value - values[i - 1]!)), 0) / values.length / 200;

const factorOf = ({ scores, origins }: Residuals, level: number): number =>
  conformal(scores, level) * wideningOf(level, origins);

const conformal = (scores: Float64Array, level: number): number =>
  scores[Math.min(scores.length - 1, Math.ceil((scores.length + 1) * level) - 1)]!;

/** Degrees of freedom: origins + 1 gave 90 % coverage on earlier parts of M4's hourly training series. */
const wideningOf = (level: number, origins: number): number =>
  studentUpperQuantile((1 - level) / 2, origins + 1) / normalUpperQuantile((1 - level) / 2);

const usualError = ({ shape }: Residuals, h: number): number =>
  shape[Math.min(h, shape.length - 1)]! * (h < shape.length ? 1 : Math.sqrt((h + 1) / shape.length));

const levels = Array.from({ length: 999 }, (_, i) => (i + 1) / 1000);
/** Cached by number of origins: the same for every series, and expensive. */
const widenings = new Map<number, number[]>();

/**
 * Probability that the value of each step lies within ± `distances` of the forecast: the highest level, in thousandths,
 * whose interval is no wider. n errors support no probability below 1 / (n + 1) or above n / (n + 1).
 */
export function probabilitiesWithin(residuals: Residuals, distances: Float64Array): Float64Array {
  const { scores, origins } = residuals;
  const widening = widenings.get(origins) ?? levels.map((level) => wideningOf(level, origins));
  widenings.set(origins, widening);
  const factors = levels.map((level, i) => conformal(scores, level) * widening[i]!);
  const [least, most] = [1 / (scores.length + 1), scores.length / (scores.length + 1)];
  const first = scores[0]! * wideningOf(least, origins);
  return distances.map((distance, h) => {
    const allowed = distance / usualError(residuals, h);
    // Zero error and zero tolerance.
    if (Number.isNaN(allowed)) return most;
    if (allowed < first) return (least * allowed) / first;
    let [low, high] = [0, factors.length];
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (factors[middle]! > allowed) high = middle;
      else low = middle;
    }
    return Math.min(most, Math.max(least, levels[low]!));
  });
}
