import {
  chiSquareUpper,
  chiSquareUpperQuantile,
  kolmogorovUpper,
  median,
  quantile,
  standardDeviation,
} from '#kernel/stats.ts';

/**
 * Distances and tests between two distributions. Each function takes the reference first and the current sample second.
 */

/** Counts per bin or category, with the same bins on both sides. */
export type Counts = readonly number[];

/**
 * Two-sample Kolmogorov-Smirnov statistic and its asymptotic p-value (Smirnov 1948). Both samples must not be empty.
 */
export function kolmogorovSmirnov(before: readonly number[], now: readonly number[]): { statistic: number; p: number } {
  const [a, b] = [sorted(before), sorted(now)];
  let [i, j, largest] = [0, 0, 0];
  while (i < a.length && j < b.length) {
    const at = Math.min(a[i] ?? 0, b[j] ?? 0);
    while (i < a.length && (a[i] ?? 0) <= at) i += 1;
    while (j < b.length && (b[j] ?? 0) <= at) j += 1;
    largest = Math.max(largest, Math.abs(i / a.length - j / b.length));
  }
  return { statistic: largest, p: kolmogorovUpper(largest * Math.sqrt((a.length * b.length) / (a.length + b.length))) };
}

/** Wasserstein-1 distance in standard deviations of the reference (at least 0.001, as in Evidently). */
export function wasserstein(before: readonly number[], now: readonly number[]): number {
  const [a, b] = [sorted(before), sorted(now)];
  const all = sorted([...a, ...b]);
  let [i, j, area] = [0, 0, 0];
  for (let k = 0; k + 1 < all.length; k += 1) {
    const at = all[k] ?? 0;
    while (i < a.length && (a[i] ?? 0) <= at) i += 1;
    while (j < b.length && (b[j] ?? 0) <= at) j += 1;
    area += Math.abs(i / a.length - j / b.length) * ((all[k + 1] ?? 0) - at);
  }
  return area / Math.max(0.001, standardDeviation(before));
}

/**
 * Wasserstein-1 distance of binned counts, each at the middle of its bin. `edges` has one more entry than there are
 * bins.
 */
export function wassersteinOfBins(before: Counts, now: Counts, edges: readonly number[]): number {
  const [n, m] = [total(before), total(now)];
  const middles = before.map((_, i) => ((edges[i] ?? 0) + (edges[i + 1] ?? 0)) / 2);
  const center = before.reduce((sum, count, i) => sum + count * (middles[i] ?? 0), 0) / n;
  const variance =
    before.reduce((sum, count, i) => sum + count * ((middles[i] ?? 0) - center) ** 2, 0) / Math.max(1, n - 1);
  let [seenBefore, seenNow, area] = [0, 0, 0];
  for (let i = 0; i + 1 < before.length; i += 1) {
    seenBefore += (before[i] ?? 0) / n;
    seenNow += (now[i] ?? 0) / m;
    area += Math.abs(seenBefore - seenNow) * ((middles[i + 1] ?? 0) - (middles[i] ?? 0));
  }
  return area / Math.max(0.001, Math.sqrt(variance));
}

/** Share assigned to an empty bin, so that its logarithm exists (as in Evidently). */
const emptyShare = 1e-4;

/**
 * Population stability index: sum of (q - p) ln(q / p). Without drift it is approximately (1/n + 1/m) × chi-square with
 * bins - 1 degrees of freedom; `critical` is its 95 % quantile, so that noise of small samples is not drift.
 */
export function populationStability(before: Counts, now: Counts): { statistic: number; critical: number } {
  const [p, q] = [shares(before, emptyShare), shares(now, emptyShare)];
  const statistic = p.reduce((sum, share, i) => sum + ((q[i] ?? 0) - share) * Math.log((q[i] ?? 0) / share), 0);
  return {
    statistic,
    critical: chiSquareUpperQuantile(0.05, Math.max(1, p.length - 1)) * (1 / total(before) + 1 / total(now)),
  };
}

/** Jensen-Shannon distance: square root of the divergence in bits; 0 = identical, 1 = disjoint (Lin 1991). */
export function jensenShannon(before: Counts, now: Counts): number {
  const [p, q] = [shares(before, 0), shares(now, 0)];
  const half = (from: number[], other: number[]) =>
    from.reduce(
      (sum, share, i) => (share > 0 ? sum + share * Math.log2(share / ((share + (other[i] ?? 0)) / 2)) : sum),
      0,
    );
  return Math.sqrt(Math.max(0, (half(p, q) + half(q, p)) / 2));
}

/** Pearson’s chi-square test of homogeneity; bins that are empty on both sides are skipped. */
export function chiSquare(before: Counts, now: Counts): { statistic: number; p: number; degrees: number } {
  const [n, m] = [total(before), total(now)];
  let statistic = 0;
  let bins = 0;
  for (const [i, count] of before.entries()) {
    const both = count + (now[i] ?? 0);
    if (both === 0) continue;
    bins += 1;
    const [wanted, other] = [(both * n) / (n + m), (both * m) / (n + m)];
    statistic += (count - wanted) ** 2 / wanted + ((now[i] ?? 0) - other) ** 2 / other;
  }
  const degrees = bins - 1;
  return { statistic, p: degrees > 0 ? chiSquareUpper(statistic, degrees) : 1, degrees };
}

/** Common bin edges of both samples: Sturges’ number of equal-width bins over the middle 98 %, open at both ends. */
export function binEdges(before: readonly number[], now: readonly number[]): number[] {
  const all = sorted([...before, ...now]);
  const bins = Math.max(2, Math.ceil(Math.log2(all.length) + 1));
  const [low, high] = [quantile(all, 0.01), quantile(all, 0.99)];
  if (low === high) return [Number.NEGATIVE_INFINITY, median(all), Number.POSITIVE_INFINITY];
  const inner = Array.from({ length: bins - 1 }, (_, i) => low + ((i + 1) * (high - low)) / bins);
  return [Number.NEGATIVE_INFINITY, ...inner, Number.POSITIVE_INFINITY];
}

/** Histogram counts; a value on an edge belongs to the upper bin. */
export function countIn(values: readonly number[], edges: readonly number[]): number[] {
  const counts = Array.from({ length: edges.length - 1 }, () => 0);
  for (const value of values) {
    let [low, high] = [0, edges.length - 2];
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (value >= (edges[middle] ?? 0)) low = middle;
      else high = middle - 1;
    }
    counts[low] = (counts[low] ?? 0) + 1;
  }
  return counts;
}

const sorted = (values: readonly number[]): number[] => [...values].sort((a, b) => a - b);
const total = (counts: Counts): number => counts.reduce((sum, count) => sum + count, 0);

function shares(counts: Counts, least: number): number[] {
  const all = total(counts);
  return counts.map((count) => Math.max(least, count / all));
}
