import { mean, median, studentUpperQuantile } from '#kernel/stats.ts';
import { createYielder } from '#kernel/yield-event-loop.ts';
import { usualLevels } from './decompose.ts';

/** Batch outlier methods: the documented z-score, generalised ESD, and peer comparison. */

/** `score`: an outlier above 1. */
export type Outlier = { index: number; score: number; expected: number; zscore: number };

/**
 * z-score: values more than the given number of standard deviations from the mean. Outliers inflate the deviation and
 * so mask themselves and others; a flat line has none.
 */
export function byDeviations(values: readonly number[], threshold: number): Outlier[] {
  const expected = mean(values);
  const spread = Math.sqrt(mean(values.map((value) => (value - expected) ** 2)));
  // Residuals of a flat line are rounding errors.
  if (!(spread > 1e-12 * Math.abs(expected))) return [];
  return values.flatMap((value, index) => {
    const zscore = (value - expected) / spread;
    return Math.abs(zscore) > threshold ? [{ index, score: Math.abs(zscore) / threshold, expected, zscore }] : [];
  });
}

/** Significance level, and maximum share of outliers. */
const significance = 0.05;
const maxShare = 0.02;

/**
 * Generalised ESD (Rosner 1983) with median and median deviation on the residuals of trend and seasons (S-H-ESD:
 * Hochenbaum, Vallis and Kejariwal 2017). Needs two days for a daily and three weeks for a weekly season.
 */
export async function byEsd(times: readonly number[], values: readonly number[], stepMs: number): Promise<Outlier[]> {
  const yielder = createYielder();
  const { usual, parameters } = await usualLevels(times, values, stepMs);
  const left = values.map((value, i) => value - usual[i]!);
  const n = left.length;
  // Degrees of freedom; at least half the values of a short series.
  const freed = Math.sqrt(n / Math.max(n / 2, n - parameters));
  const most = Math.min(100, Math.max(1, Math.floor(n * maxShare)));
  const inside = new Set(left.keys());
  const taken: Outlier[] = [];
  let outliers = 0;
  for (let k = 1; k <= most && n - k > 2; k += 1) {
    if (yielder.due()) await yielder.yieldNow();
    const rest = [...inside].map((i) => left[i]!);
    const center = median(rest);
    const spread = freed * 1.4826 * median(rest.map((value) => Math.abs(value - center)));
    if (spread === 0) break;
    const index = [...inside].reduce((a, b) => (Math.abs(left[b]! - center) > Math.abs(left[a]! - center) ? b : a));
    const zscore = (left[index]! - center) / spread;
    const t = studentUpperQuantile(significance / (2 * (n - k + 1)), n - k - 1);
    const limit = ((n - k) * t) / Math.sqrt((n - k - 1 + t * t) * (n - k + 1));
    inside.delete(index);
    taken.push({ index, score: Math.abs(zscore) / limit, expected: usual[index]! + center, zscore });
    // The last value beyond its limit sets the number of outliers: earlier ones may be masked.
    if (Math.abs(zscore) > limit) outliers = k;
  }
  return taken.slice(0, outliers).sort((a, b) => a.index - b.index);
}

const minPeers = 5;
const deviations = 3.5;
/** Share of the time above which a deviating peer is an outlier. */
export const minDeviatingShare = 0.5;

/**
 * Peers that deviate from the others for more than half the time: by more than 3.5 median deviations of all peers at
 * that time (a deviation is at least a thousandth of the median). `rows`: one value or null per peer, for each time.
 */
export function amongPeers(rows: readonly (readonly (number | null)[])[]): { peer: number; share: number }[] {
  const peers = rows[0]?.length ?? 0;
  const [apart, seen] = [new Float64Array(peers), new Float64Array(peers)];
  for (const row of rows) {
    const values = row.filter((value) => value !== null);
    if (values.length < minPeers) continue;
    const center = median(values);
    const spread = Math.max(1.4826 * median(values.map((value) => Math.abs(value - center))), 1e-3 * Math.abs(center));
    for (const [peer, value] of row.entries()) {
      if (value === null) continue;
      seen[peer]! += 1;
      if (Math.abs(value - center) > deviations * spread) apart[peer]! += 1;
    }
  }
  return Array.from(apart, (count, peer) => ({ peer, share: seen[peer]! > 0 ? count / seen[peer]! : 0 })).filter(
    ({ share }) => share > minDeviatingShare,
  );
}
