import { normalUpper, normalUpperQuantile } from './stats.ts';

/** Trends of series, whoever asks. */

export type MannKendall = { statistic: number; p: number };

/**
 * Is there a trend at all: Mann-Kendall, with ties in the variance (Kendall 1975), the variance times `inflation` where
 * values hang together. `sign`: 1 or -1 for a trend that way only, 0 for either. `statistic` is z.
 */
export function mannKendall(values: readonly number[], sign: -1 | 0 | 1, inflation: number): MannKendall {
  const n = values.length;
  let s = 0;
  for (let i = 0; i < n; i += 1) for (let j = i + 1; j < n; j += 1) s += Math.sign((values[j] ?? 0) - (values[i] ?? 0));
  const ties = [...Map.groupBy(values, (value) => value).values()].map((same) => same.length);
  const plain = (n * (n - 1) * (2 * n + 5) - ties.reduce((total, t) => total + t * (t - 1) * (2 * t + 5), 0)) / 18;
  const variance = plain * inflation;
  const z = variance > 0 ? (s - Math.sign(s)) / Math.sqrt(variance) : 0;
  if (sign === 0) return { statistic: z, p: Math.min(1, 2 * normalUpper(Math.abs(z))) };
  return { statistic: z, p: normalUpper(sign * z) };
}

/** How many times as many values an AR(1) series has as it has independent ones (Yue and Wang 2004). */
export function yueWang(n: number, correlation: number): number {
  let total = 1;
  for (let k = 1; k < n; k += 1) total += 2 * (1 - k / n) * correlation ** k;
  return total;
}

export type Slope = { perDay: number; low: number; high: number };

/**
 * The median of the slopes between all pairs (Theil 1950, Sen 1968), per day, with its interval (`level`) by Sen’s rank
 * method, the variance times `inflation`. Times in days, ascending, no two the same.
 */
export function theilSen(days: readonly number[], values: readonly number[], level = 0.9, inflation = 1): Slope {
  const n = days.length;
  const slopes = new Float64Array((n * (n - 1)) / 2);
  let found = 0;
  for (let i = 0; i < n; i += 1)
    for (let j = i + 1; j < n; j += 1) {
      slopes[found] = (values[j]! - values[i]!) / (days[j]! - days[i]!);
      found += 1;
    }
  slopes.sort();
  const half = normalUpperQuantile((1 - level) / 2) * Math.sqrt((inflation * (n * (n - 1) * (2 * n + 5))) / 18);
  const at = (place: number) => slopes[Math.min(found - 1, Math.max(0, Math.round(place)))] ?? 0;
  const middle = (slopes[(found - 1) >> 1]! + slopes[found >> 1]!) / 2;
  return { perDay: middle, low: at((found - half) / 2 - 1), high: at((found + half) / 2) };
}
