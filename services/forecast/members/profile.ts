import { mean } from '#kernel/stats.ts';
import type { Series } from '../engine/series.ts';
import type { Member } from './member.ts';

/**
 * Weighted mean of the last few longest seasons, with decaying weights, shifted to the current level: each step's
 * difference to the level at the start of its season, plus part of the current level. Logarithmic if every value is
 * positive, so that differences are ratios. It follows a season whose shape is stable while the level moves; the
 * seasonal naive forecast uses one season and its level only.
 */
export const seasonalProfile: Member = {
  name: 'seasonal_profile',
  needs: ({ periods }) => (periods.at(-1) ?? Number.POSITIVE_INFINITY) + (periods[0] ?? 0),
  fit: (series) => ({ predict: (horizon) => profile(series, horizon) }),
};

const seasons = 4;
/**
 * Weight of a season relative to the next newer one, and share of a level change that persists. Chosen on earlier parts
 * of M4's hourly training series.
 */
const memory = 0.6;
const kept = 0.6;

function profile({ values, periods }: Series, horizon: number): Float64Array {
  const [long, short] = [periods.at(-1)!, periods[0]!];
  const logs = values.every((value) => value > 0);
  const z = logs ? values.map(Math.log) : values;
  const n = z.length;
  const level = (end: number): number => mean([...z.subarray(end - short, end)]);
  const count = Math.min(seasons, Math.floor((n - short) / long));
  const weights = Array.from({ length: count }, (_, k) => memory ** k);
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  const levels = weights.map((_, k) => level(n - (k + 1) * long));
  const now = level(n);
  return Float64Array.from({ length: horizon }, (_, h) => {
    const at = h % long;
    const above = weights.reduce(
      (sum, weight, k) => sum + weight * (z[n - (k + 1) * long + at]! - kept * levels[k]!),
      0,
    );
    const value = above / total + kept * now;
    return logs ? Math.exp(value) : value;
  });
}
