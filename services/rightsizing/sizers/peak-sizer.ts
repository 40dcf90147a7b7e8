import { day, strideOf } from '../usage.ts';
import type { Sized, Sizer, SizerSettings } from './sizer.ts';

/**
 * A request that memory does not reach: the peak of the last days, times what peaks rose by so far. How far they will
 * rise with the stated probability is beyond what was seen, so it is read off an exponential tail fitted to the greatest
 * rises (peaks over a threshold; Weissman 1978).
 */

const daysBack = 7;
/** A fifth of the rises make the tail, three at least. */
const tailShare = 0.2;
const fewest = 4;
const leastMargin = 0.03;
/** Half as much again as the peak is the most: a level that shifted once must not be expected to shift each day. */
const mostMargin = Math.log(1.5);
/** While too few rises are known; what right-sizers add. */
const usualFactor = 1.15;
/** Rises that are remembered. */
const mostRises = 400;
const belief = { windows: 4, kept: 0.95 };

/** `violation`: stated probability that a horizon has any sample above the request. */
export function createPeakSizer({ horizonMs, violation, least }: SizerSettings): Sizer {
  const strideMs = strideOf(horizonMs);
  const [strides, back] = [Math.round(horizonMs / strideMs), Math.round((daysBack * day) / strideMs)];
  /** Of each stride. NaN of one without samples. */
  const peaks: number[] = [];
  const requests: (number | null)[] = [];
  const rises: number[] = [];
  let [judged, kept] = [0, 0];
  const peakUpTo = (end: number, count: number) => greatest(peaks.slice(Math.max(0, end - count), end));

  const ask = (): Omit<Sized, 'confidence' | 'confidences'> => {
    const peak = peakUpTo(peaks.length, back);
    if (Number.isNaN(peak)) return { request: null, factor: 1, experts: [] };
    const factor =
      rises.length < fewest
        ? usualFactor
        : Math.exp(Math.min(mostMargin, Math.max(leastMargin, tailQuantile(rises, violation))));
    const experts = [{ name: `peak of ${daysBack} days`, weight: 1, says: peak }];
    return { request: Math.max(least, peak * factor), factor, experts };
  };

  return {
    strideMs,
    add: (values) => {
      requests.push(ask().request);
      peaks.push(greatest(values));
      const begin = peaks.length - strides;
      // Before that there was no whole horizon to rise from.
      if (begin < strides) return;
      const [before, after] = [peakUpTo(begin, back), peakUpTo(peaks.length, strides)];
      const request = requests[begin]!;
      // What lies below the least request is no rise.
      if (!Number.isNaN(before) && !Number.isNaN(after))
        rises.push(Math.log(Math.max(after, least) / Math.max(before, least)));
      if (rises.length > mostRises) rises.shift();
      if (request === null || Number.isNaN(after)) return;
      // Horizons that overlap are no more than one piece of evidence.
      if (begin % strides !== 0) return;
      judged += 1;
      if (after <= request) kept += 1;
    },
    recommend: () => {
      const asked = ask();
      const confidence = (kept + belief.windows * belief.kept) / (judged + belief.windows);
      return { ...asked, confidence: asked.request === null ? null : confidence, confidences: null };
    },
  };
}

/** What is exceeded with probability `p`, by an exponential tail above the k-th greatest. */
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
