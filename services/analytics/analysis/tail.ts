import { lowerBound } from '../storage/reader.ts';

/**
 * How rare a score is among the last few thousand of the same series: below their 98 % quantile by rank, above it by an
 * exponential tail with the mean excess of those beyond it (peaks over threshold; Siffer and others 2017 fit two
 * parameters, on so few excesses one is steadier). So one threshold serves every metric, whatever its unit and habits.
 */
export type Tail = {
  /** -log10 of the probability of a score so large, 20 at most. Differences below `floor` are no difference. */
  rarity(score: number, floor: number): number;
  /** Takes the score among those it judges by. */
  learn(score: number): void;
};

const kept = 3_000;
const tailShare = 0.02;
/** Fewer say nothing of a tail. */
const fewest = 50;
const rarest = 20;

export function createTail(): Tail {
  const order: number[] = [];
  const sorted: number[] = [];
  let oldest = 0;
  return {
    rarity: (score, floor) => {
      const n = sorted.length;
      if (n < fewest) return 0;
      const from = Math.floor(n * (1 - tailShare));
      const threshold = sorted[from]!;
      if (score <= threshold) return -Math.log10((n - lowerBound(sorted, score) + 1) / (n + 1));
      let excess = 0;
      for (let i = from + 1; i < n; i += 1) excess += sorted[i]! - threshold;
      // On a flat line every difference would be endlessly rare.
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
