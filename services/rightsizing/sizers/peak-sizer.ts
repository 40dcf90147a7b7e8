import { day, strideOf } from '../usage.ts';
import type { Sized, Sizer, SizerSettings } from './sizer.ts';

/**
 * A memory request that is rarely exceeded: the peak of the last days times a growth factor. The factor at the stated
 * probability lies beyond the observed ones, so it is extrapolated by an exponential tail of the largest ratios (peaks
 * over threshold; Weissman 1978).
 */

const daysBack = 7;
/** The largest 20 % form the tail, at least three. */
const tailShare = 0.2;
const minRatios = 4;
const minMargin = 0.03;
/** Maximum factor 1.5: a single level shift must not be expected every day. */
const maxMargin = Math.log(1.5);
/** Default factor while few ratios are known; usual among right-sizers. */
const usualFactor = 1.15;
/** Maximum number of ratios kept. */
const maxRatios = 400;
const prior = { windows: 4, kept: 0.95 };

/** `violation`: stated probability that a horizon has any sample above the request. */
export function createPeakSizer({ horizonMs, violation, least }: SizerSettings): Sizer {
  const strideMs = strideOf(horizonMs);
  const [strides, back] = [Math.round(horizonMs / strideMs), Math.round((daysBack * day) / strideMs)];
  /** Peak of each stride; NaN without samples. */
  const peaks: number[] = [];
  const requests: (number | null)[] = [];
  const rises: number[] = [];
  let [evaluated, kept] = [0, 0];
  const peakUpTo = (end: number, count: number) => greatest(peaks.slice(Math.max(0, end - count), end));

  const ask = (): Omit<Sized, 'confidence' | 'confidences'> => {
    const peak = peakUpTo(peaks.length, back);
    if (Number.isNaN(peak)) return { request: null, factor: 1, experts: [] };
    const factor =
      rises.length < minRatios
        ? usualFactor
        : Math.exp(Math.min(maxMargin, Math.max(minMargin, tailQuantile(rises, violation))));
    const experts = [{ name: `peak of ${daysBack} days`, weight: 1, says: peak }];
    return { request: Math.max(least, peak * factor), factor, experts };
  };

  return {
    strideMs,
    add: (values) => {
      requests.push(ask().request);
      peaks.push(greatest(values));
      const begin = peaks.length - strides;
      // Before that no whole horizon is available.
      if (begin < strides) return;
      const [before, after] = [peakUpTo(begin, back), peakUpTo(peaks.length, strides)];
      const request = requests[begin]!;
      // Peaks below the minimum request do not count.
      if (!Number.isNaN(before) && !Number.isNaN(after))
        rises.push(Math.log(Math.max(after, least) / Math.max(before, least)));
      if (rises.length > maxRatios) rises.shift();
      if (request === null || Number.isNaN(after)) return;
      // Overlapping horizons count as one observation.
      if (begin % strides !== 0) return;
      evaluated += 1;
      if (after <= request) kept += 1;
    },
    recommend: () => {
      const asked = ask();
      const confidence = (kept + prior.windows * prior.kept) / (evaluated + prior.windows);
      return { ...asked, confidence: asked.request === null ? null : confidence, confidences: null };
    },
  };
}

/** Quantile exceeded with probability `p`, by an exponential tail above the k-th largest value. */
function tailQuantile(values: readonly number[], p: number): number {
  const falling = [...values].sort((a, b) => b - a);
  const k = Math.min(falling.length - 1, Math.max(3, Math.round(tailShare * falling.length)));
  const threshold = falling[k]!;
  const scale = falling.slice(0, k).reduce((sum, value) => sum + value - threshold, 0) / k;
  return threshold + scale * Math.log(Math.max(1, k / (falling.length * p)));
}

const greatest = (values: Iterable<number>): number => {
  let most = Number.NaN;
  for (const value of values) if (!(value <= most) && !Number.isNaN(value)) most = value;
  return most;
};
