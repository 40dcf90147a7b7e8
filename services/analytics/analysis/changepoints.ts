import { lagOneCorrelation, median } from '#kernel/stats.ts';

/**
 * Permanent changes of level: exact penalised segmentation (PELT, Killick, Fearnhead and Eckley 2012) by squared error.
 * The noise is estimated from differences of neighbours, which a change of level hardly affects; the penalty grows with
 * the autocorrelation, so that wandering noise is no change.
 * @returns the index at which each new level begins
 */
export function changepoints(values: readonly number[], shortest = 2): number[] {
  const n = values.length;
  if (n < 2 * shortest) return [];
  const steps = values.slice(1).map((value, i) => Math.abs(value - values[i]!));
  const noise = (1.4826 * median(steps)) / Math.SQRT2;
  if (noise === 0 && new Set(values).size === 1) return [];
  const wander = lagOneCorrelation(withoutLevels(values, Math.max(12, 4 * shortest)));
  // With autocorrelation r, the variance of a mean is (1 + r) / (1 - r) times that of the values, and that of the
  // values is 1 / (1 - r) times that of half the squared differences.
  const penalty = 3 * (noise || smallestStep(steps)) ** 2 * Math.log(n) * ((1 + wander) / (1 - wander) ** 2);
  return cuts(values, shortest, penalty);
}

/** If at least half of the differences are 0, the smallest one is the noise. */
const smallestStep = (steps: number[]): number => Math.min(...steps.filter((step) => step > 0)) / 4;

/** Residuals of running medians: levels are not autocorrelation. */
const withoutLevels = (values: readonly number[], span: number): number[] =>
  values.map((value, i) => value - median(values.slice(Math.max(0, i - span), i + span + 1)));

function cuts(values: readonly number[], shortest: number, penalty: number): number[] {
  const n = values.length;
  const center = median(values);
  const [sums, squares] = [new Float64Array(n + 1), new Float64Array(n + 1)];
  for (const [i, value] of values.entries()) {
    sums[i + 1] = sums[i]! + (value - center);
    squares[i + 1] = squares[i]! + (value - center) ** 2;
  }
  const cost = (from: number, to: number) =>
    squares[to]! - squares[from]! - (sums[to]! - sums[from]!) ** 2 / (to - from);
  const best = new Float64Array(n + 1).fill(Number.POSITIVE_INFINITY);
  best[0] = -penalty;
  const last = new Int32Array(n + 1);
  let candidates: number[] = [];
  for (let to = shortest; to <= n; to += 1) {
    candidates.push(to - shortest);
    for (const from of candidates) {
      const total = best[from]! + cost(from, to) + penalty;
      if (total < best[to]!) [best[to], last[to]] = [total, from];
    }
    // PELT pruning: these can never again be the best start of a segment.
    candidates = candidates.filter((from) => best[from]! + cost(from, to) <= best[to]!);
  }
  const found: number[] = [];
  for (let at = last[n]!; at > 0; at = last[at]!) found.push(at);
  return found.toReversed();
}
