import { lowerBound } from '../storage/reader.ts';

/**
 * Rarity of a score among the last few thousand of its series: by rank below the 98 % quantile, above it by an
 * exponential tail with the mean excess (peaks over threshold; Siffer and others 2017 fit two parameters, but one is
 * more stable on so few excesses). One threshold therefore fits every metric, independent of its unit and behaviour.
 */
export type Tail = {
  /** -log10 of the probability of so large a score, at most 20. Differences below `floor` are ignored. */
  rarity(score: number, floor: number): number;
  /** Adds the score to the reference. */
  learn(score: number): void;
};

const kept = 3_000;
const tailShare = 0.02;
/** Minimum number of scores for a tail. */
const minScores = 50;
const rarest = 20;

export function createTail(): Tail {
  const order: number[] = [];
  const sorted: number[] = [];
  let oldest = 0;
  return {
    rarity: (score, floor) => {
      const n = sorted.length;
      if (n < minScores) return 0;
      const from = Math.floor(n * (1 - tailShare));
      const threshold = sorted[from]!;
      if (score <= threshold) return -Math.log10((n - lowerBound(sorted, score) + 1) / (n + 1));
      let excess = 0;
      for (let i = from + 1; i < n; i += 1) excess += sorted[i]! - threshold;
      // On a flat line, any difference would be infinitely rare.
      const mean = Math.max(excess / (n - from), floor, Number.MIN_VALUE);
      return Math.min(rarest, -Math.log10(tailShare) + (score - threshold) / mean / Math.LN10);
    },
    learn: (score) => {
      if (order.length < kept) order.push(score);
      else {
        const gone = order[oldest]!;
        order[oldest] = score;
        oldest = (oldest + 1) % kept;
        sorted.splice(lowerBound(sorted, gone), 1);
      }
      sorted.splice(lowerBound(sorted, score), 0, score);
    },
  };
}
