import { normalUpperQuantile, studentUpperQuantile } from '../../src/kernel/stats.ts';
import { blend, type Origin, type Tried, weigh } from './fusion.ts';

/**
 * How far the fused forecast was off at earlier ends: `shape` is the usual error of each step, `scores` are all errors in
 * units of it, sorted.
 */
export type Residuals = { shape: Float64Array; scores: Float64Array; origins: number };

/**
 * Errors of the fused forecast, each origin judged with weights learned from the other origins: with its own it would
 * look better than it is. Null where fewer than two origins could be tried.
 */
export function fusedResiduals(tried: Tried[], origins: Origin[]): Residuals | null {
  if (origins.length < 2) return null;
  const usable = tried.filter(({ error }) => error !== null);
  const errors = origins.map(({ actual }, k) => {
    const others = usable.map((member) => withoutOrigin(member, origins, k));
    const forecast = blend(
      weigh(others).map(({ weight }) => weight),
      usable.map(({ forecasts }) => forecasts[k]!),
    );
    return actual.map((value, h) => Math.abs(value - forecast[h]!));
  });
  const length = origins[0]!.actual.length;
  const profile = Float64Array.from({ length }, (_, h) =>
    errors.reduce((total, error) => total + error[h]! / errors.length, 0),
  );
  const overall = profile.reduce((total, value) => total + value / length, 0);
  // Few origins say little of a single step: half its neighbourhood, half the whole.
  const shape = profile.map((_, h) => {
    const near = profile.slice(Math.max(0, h - 3), h + 4);
    return (near.reduce((total, value) => total + value / near.length, 0) + overall) / 2;
  });
  const scores = errors.flatMap((error) => [...error].map((value, h) => (shape[h]! > 0 ? value / shape[h]! : 0)));
  return { shape, scores: Float64Array.from(scores).sort(), origins: origins.length };
}

function withoutOrigin(member: Tried, origins: Origin[], left: number): Tried {
  const errors = origins.flatMap(({ actual }, k) =>
    k === left
      ? []
      : [actual.reduce((total, value, h) => total + Math.abs(value - member.forecasts[k]![h]!) / actual.length, 0)],
  );
  return { ...member, error: errors.reduce((total, error) => total + error / errors.length, 0) };
}

/**
 * Half the width of the interval of this level for each step: the conformal quantile of the scores times the usual error
 * of the step, widened as Student's t is against the normal distribution, because errors within one origin resemble each
 * other and there are only so many origins. Steps beyond those that were tried widen with the root of their distance.
 */
export function halfWidths({ shape, scores, origins }: Residuals, level: number, horizon: number): Float64Array {
  const n = scores.length;
  const rank = Math.min(n - 1, Math.ceil((n + 1) * level) - 1);
  const widening = studentUpperQuantile((1 - level) / 2, origins) / normalUpperQuantile((1 - level) / 2);
  return Float64Array.from({ length: horizon }, (_, h) => {
    const beyond = h < shape.length ? 1 : Math.sqrt((h + 1) / shape.length);
    return scores[rank]! * widening * shape[Math.min(h, shape.length - 1)]! * beyond;
  });
}

/**
 * The probability that the value of a step lies within ± `distance` of the forecast: the level whose interval is so wide.
 * Null where there are no residuals.
 */
export function probabilityWithin(residuals: Residuals | null, step: number, distance: number): number | null {
  if (!residuals) return null;
  let [low, high] = [0.001, 0.999];
  if (halfWidths(residuals, low, step + 1)[step]! > distance) return 0;
  if (halfWidths(residuals, high, step + 1)[step]! <= distance) return 1;
  for (let i = 0; i < 20; i += 1) {
    const middle = (low + high) / 2;
    if (halfWidths(residuals, middle, step + 1)[step]! > distance) high = middle;
    else low = middle;
  }
  return low;
}
