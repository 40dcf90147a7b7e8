import { normalUpper, normalUpperQuantile } from './stats.ts';

/** Trend tests and slopes of time series. */

export type MannKendall = { statistic: number; p: number };

/**
 * Mann-Kendall trend test with ties in the variance (Kendall 1975). `inflation` multiplies the variance of
 * autocorrelated series. `sign`: 1 or -1 for a one-sided test, 0 for two-sided. `statistic` is z.
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

/** Variance inflation of an AR(1) series: number of values divided by the effective sample size (Yue and Wang 2004). */
export function yueWang(n: number, correlation: number): number {
  let total = 1;
  for (let k = 1; k < n; k += 1) total += 2 * (1 - k / n) * correlation ** k;
  return total;
}

export type Slope = { perDay: number; low: number; high: number };

/**
 * Theil-Sen slope per day: the median of all pairwise slopes (Theil 1950, Sen 1968), with Sen’s rank-based interval
 * (`level`); `inflation` multiplies the variance. Times in days, strictly ascending.
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
