import { lagOneCorrelation, mean, standardDeviation } from '#kernel/stats.ts';
import type { Slope } from '#kernel/trend.ts';

/** Tests of time series. `sign` = -1 detects a fall, 1 a rise, 0 both. */
export type Sign = -1 | 0 | 1;

/** Reference of a series; `sd` 0 = constantly 0, against which nothing can be standardised. */
export type Reference = { mean: number; sd: number; n: number; correlation: number };

/** Minimum standard deviation, as a share of the mean: with identical values, anything would be an alarm. */
const relativeFloor = 1e-3;

export function referenceOf(values: readonly number[]): Reference {
  const center = mean(values);
  const sd = Math.max(standardDeviation(values), relativeFloor * Math.abs(center));
  return { mean: center, sd, n: values.length, correlation: lagOneCorrelation(values) };
}

export type Cusum = {
  statistic: number;
  p: number;
  /** Start of the run of deviations with the largest sum: the likeliest time of the change; null without one. */
  changePoint: number | null;
};

const slack = 0.5;

/**
 * One-sided CUSUM (Page 1954) of standardised deviations from a reference, with slack 0.5. For a series with lag-1
 * autocorrelation r, deviations are measured in long-run standard deviations, sd √((1+r)/(1-r)). The p-value is that of
 * the largest sum over all values, with an estimated reference; see `cusumUpper`.
 */
export function cusum(values: readonly number[], reference: Reference, sign: Sign): Cusum {
  const scale = reference.sd * Math.sqrt((1 + reference.correlation) / (1 - reference.correlation));
  const sides = sign === 0 ? [-1, 1] : [sign];
  let best: Cusum = { statistic: 0, p: 1, changePoint: null };
  for (const side of sides) {
    let [level, began] = [0, 0];
    for (const [i, value] of values.entries()) {
      if (level === 0) began = i;
      level = Math.max(0, level + (side * (value - reference.mean)) / scale - slack);
      if (level > best.statistic) best = { statistic: level, p: 1, changePoint: began };
    }
  }
  const p = cusumUpper(best.statistic, reference.n, values.length) * sides.length;
  return { ...best, p: Math.min(1, p) };
}

/**
 * P(largest one-sided sum ≥ h) without a change, for a reference estimated from `n` independent values and `m` values
 * after it. Interpolated from a table (log-linear in p) between the nearest sizes; n is clamped to the table's ends, m
 * is capped. The table comes from 60,000 simulated series per line (seed 20261120; docs/concepts/drift.md).
 */
export function cusumUpper(h: number, n: number, m: number): number {
  const levels = levelsAt(n, m);
  if (h <= (levels[0] ?? 0)) return 1 - (0.7 * h) / (levels[0] ?? 1);
  const above = levels.findIndex((level) => level > h);
  const i = above < 0 ? levels.length - 1 : above;
  const [low, high] = [levels[i - 1] ?? 0, levels[i] ?? 1];
  const [pLow, pHigh] = [Math.log(tableP[i - 1] ?? 1), Math.log(tableP[i] ?? 1)];
  return Math.exp(pLow + ((h - low) / (high - low)) * (pHigh - pLow));
}

/** The sums that are exceeded with the probabilities in `tableP`. */
function levelsAt(n: number, m: number): number[] {
  const between = (sizes: number[], size: number) => {
    const clamped = Math.min(sizes.at(-1) ?? size, Math.max(sizes[0] ?? size, size));
    const above = Math.max(
      1,
      sizes.findIndex((item) => item >= clamped),
    );
    const [low, high] = [sizes[above - 1] ?? 1, sizes[above] ?? 1];
    return { low, high, share: (Math.log(clamped) - Math.log(low)) / (Math.log(high) - Math.log(low)) };
  };
  const [ofN, ofM] = [between([10, 15, 20, 30], n), between([8, 15, 30, 60, 120], m)];
  const line = (a: number, b: number) => table.find(([size, length]) => size === a && length === b)?.slice(2) ?? [];
  const mix = (a: number[], b: number[], share: number) =>
    a.map((value, i) => value + share * ((b[i] ?? value) - value));
  const at = (size: number) => mix(line(size, ofM.low), line(size, ofM.high), ofM.share);
  return mix(at(ofN.low), at(ofN.high), ofN.share);
}

const tableP = [0.3, 0.1, 0.05, 0.02, 0.01, 0.001];
/** Size of the reference, number of later values, and the sums exceeded with those probabilities. */
const table = [
  [10, 8, 1.84, 3.52, 4.73, 6.49, 7.9, 13.59],
  [10, 15, 2.56, 4.85, 6.61, 9.3, 11.31, 20.09],
  [10, 30, 3.47, 6.76, 9.7, 14.45, 18.26, 33.49],
  [10, 60, 4.53, 9.41, 14.64, 23.69, 31.63, 62.05],
  [10, 120, 5.7, 12.88, 22.34, 39.93, 55.59, 110.71],
  [15, 8, 1.73, 3.12, 4.05, 5.37, 6.46, 10.19],
  [15, 15, 2.38, 4.2, 5.47, 7.38, 8.92, 15.02],
  [15, 30, 3.18, 5.62, 7.54, 10.65, 13.18, 24.0],
  [15, 60, 4.12, 7.46, 10.49, 15.83, 20.46, 38.95],
  [15, 120, 5.12, 9.45, 13.74, 22.67, 31.67, 64.4],
  [20, 8, 1.66, 2.89, 3.71, 4.86, 5.68, 8.19],
  [20, 15, 2.29, 3.84, 4.93, 6.46, 7.72, 12.49],
  [20, 30, 3.06, 5.03, 6.58, 8.98, 11.04, 18.71],
  [20, 60, 3.92, 6.55, 8.63, 12.06, 15.34, 27.21],
  [20, 120, 4.82, 8.04, 10.85, 16.18, 21.69, 48.13],
  [30, 8, 1.62, 2.73, 3.43, 4.4, 5.15, 7.59],
  [30, 15, 2.21, 3.56, 4.47, 5.73, 6.83, 10.6],
  [30, 30, 2.92, 4.57, 5.76, 7.43, 8.77, 14.55],
  [30, 60, 3.71, 5.75, 7.25, 9.57, 11.54, 20.06],
  [30, 120, 4.57, 7.0, 8.83, 12.06, 15.09, 30.36],
];

/**
 * Variance inflation of Mann-Kendall under autocorrelation: n/n* of Hamed and Rao (1998) for autocorrelations r^k;
 * those of ranks are slightly smaller (asin).
 */
export function rankInflation(n: number, correlation: number): number {
  if (correlation <= 0) return 1;
  let total = 0;
  for (let k = 1; k < n; k += 1) {
    const ofRanks = (6 / Math.PI) * Math.asin(correlation ** k / 2);
    total += (n - k) * (n - k - 1) * (n - k - 2) * ofRanks;
  }
  return 1 + (2 / (n * (n - 1) * (n - 2))) * total;
}

/**
 * Lag-1 autocorrelation of the residuals after removing the trend or the largest step, whichever leaves less variance:
 * a change is not autocorrelation. Choosing the step removes some autocorrelation with it, which three times the bias
 * of short series restores (by simulation; docs/concepts/drift.md).
 */
export function residualCorrelation(days: readonly number[], values: readonly number[], slope: Slope): number {
  // Residuals of a noiseless line or step are rounding errors.
  const isNothing = (left: number[]) => standardDeviation(left) <= 1e-9 * standardDeviation(values);
  const withoutLine = values.map((value, i) => value - slope.perDay * ((days[i] ?? 0) - (days[0] ?? 0)));
  if (isNothing(withoutLine)) return 0;
  const line = lagOneCorrelation(withoutLine);
  const at = largestStep(values);
  if (line === 0 || at === null) return line;
  const [before, after] = [mean(values.slice(0, at)), mean(values.slice(at))];
  const left = values.map((value, i) => value - (i < at ? before : after));
  if (isNothing(left)) return 0;
  return Math.min(line, lagOneCorrelation(left, 3));
}

/**
 * Best split of a series into two levels (least squares), at least four values on each side; null if it is too short.
 */
function largestStep(values: readonly number[]): number | null {
  const n = values.length;
  const all = values.reduce((total, value) => total + value, 0);
  let [best, found, left]: [number, number | null, number] = [Number.NEGATIVE_INFINITY, null, 0];
  for (let at = 1; at <= n - 4; at += 1) {
    left += values[at - 1] ?? 0;
    // Maximises the variance explained by the two means.
    const explained = left ** 2 / at + (all - left) ** 2 / (n - at);
    if (at >= 4 && explained > best) [best, found] = [explained, at];
  }
  return found;
}
