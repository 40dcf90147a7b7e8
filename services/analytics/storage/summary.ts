import type { MetricTables } from '#store/metric-tables.ts';
import {
  addToSketch,
  decodeSketch,
  emptySketch,
  encodeSketch,
  mergeSketch,
  quantilesOf,
  type Sketch,
} from './sketch.ts';

/**
 * Mergeable summary of many values: of an hour, a day, a bucket. Counts finite values only. `squares`: sum of squared
 * distances from the mean (Chan, Golub and LeVeque 1983), since sums of squared values cancel for a large mean.
 */
export type Summary = { count: number; sum: number; min: number; max: number; squares: number; sketch: Sketch };

export const emptySummary = (): Summary => ({
  count: 0,
  sum: 0,
  min: Number.POSITIVE_INFINITY,
  max: Number.NEGATIVE_INFINITY,
  squares: 0,
  sketch: emptySketch(),
});

/** Larger values would overflow sums and squares; no measurement is that large. */
export const largest = 1e140;

/** Skips values that are not finite or too large. */
export function addValue(summary: Summary, value: number): void {
  if (!(Math.abs(value) <= largest)) return;
  const before = summary.count === 0 ? value : summary.sum / summary.count;
  summary.count += 1;
  summary.sum += value;
  summary.squares += (value - before) * (value - summary.sum / summary.count);
  if (value < summary.min) summary.min = value;
  if (value > summary.max) summary.max = value;
  addToSketch(summary.sketch, value);
}

/** Merges `other` into `summary`. */
export function mergeSummary(summary: Summary, other: Summary): void {
  if (other.count === 0) return;
  const apart = summary.count === 0 ? 0 : other.sum / other.count - summary.sum / summary.count;
  const count = summary.count + other.count;
  summary.squares += other.squares + (apart * apart * summary.count * other.count) / count;
  summary.count = count;
  summary.sum += other.sum;
  summary.min = Math.min(summary.min, other.min);
  summary.max = Math.max(summary.max, other.max);
  mergeSketch(summary.sketch, other.sketch);
}

/** Population standard deviation. */
export const deviationOf = ({ count, squares }: Summary): number => Math.sqrt(Math.max(0, squares) / count);

/** Quantiles within the sketch's error bound, clamped to the exact minimum and maximum. */
export const percentilesOf = ({ sketch, min, max }: Summary, percentiles: readonly number[]): number[] =>
  quantilesOf(
    sketch,
    percentiles.map((percentile) => percentile / 100),
  ).map((value, i) =>
    percentiles[i] === 100 ? max : percentiles[i] === 0 ? min : Math.min(max, Math.max(min, value)),
  );

/** A summary in stored form. */
export type StoredSummary = Pick<MetricTables['rollups'], 'count' | 'sum' | 'min' | 'max' | 'squares' | 'sketch'>;

export const toStored = ({ count, sum, min, max, squares, sketch }: Summary): StoredSummary => ({
  count,
  sum,
  min: count > 0 ? min : null,
  max: count > 0 ? max : null,
  squares,
  sketch: encodeSketch(sketch),
});

export const fromStored = ({ count, sum, min, max, squares, sketch }: StoredSummary): Summary => ({
  count,
  sum,
  min: min ?? Number.POSITIVE_INFINITY,
  max: max ?? Number.NEGATIVE_INFINITY,
  squares,
  sketch: decodeSketch(sketch),
});
