import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decodeChunk, encodeChunk, mergePoints } from '#services/analytics/storage/chunk.ts';
import {
  addToSketch,
  decodeSketch,
  emptySketch,
  encodeSketch,
  mergeSketch,
  quantilesOf,
} from '#services/analytics/storage/sketch.ts';
import { addValue, deviationOf, emptySummary, mergeSummary } from '#services/analytics/storage/summary.ts';

const value = fc.double({ min: -1e15, max: 1e15, noNaN: true });
const sketchOf = (values: number[]) => {
  const sketch = emptySketch();
  for (const each of values) addToSketch(sketch, each);
  return sketch;
};

describe('the sketch', () => {
  it('returns every quantile within 1 %, merged or stored', () => {
    const lists = fc.array(value, { minLength: 1, maxLength: 200 });
    fc.assert(
      fc.property(lists, lists, fc.double({ min: 0, max: 1, noNaN: true }), (a, b, share) => {
        const merged = sketchOf(a);
        mergeSketch(merged, sketchOf(b));
        const read = decodeSketch(encodeSketch(merged));
        expect(read).toEqual(merged);
        const sorted = [...a, ...b].sort((x, y) => x - y);
        const truth = sorted[Math.floor(share * (sorted.length - 1))]!;
        const [said] = quantilesOf(read, [share]);
        expect(Math.abs(said! - truth)).toBeLessThanOrEqual(0.01 * Math.abs(truth) * 1.000_001 + 1e-299);
      }),
    );
  });

  it('returns no quantile if empty', () => {
    expect(quantilesOf(emptySketch(), [0.5])).toEqual([Number.NaN]);
  });

  it('refuses truncated bytes', () => {
    expect(() => decodeSketch(encodeSketch(sketchOf([1, 2, 3])).subarray(0, 4))).toThrow('truncated bytes');
  });
});

describe('summaries', () => {
  it('of parts, merged, equal the summary of all', () => {
    const parts = fc.array(fc.array(value, { maxLength: 30 }), { minLength: 1, maxLength: 8 });
    fc.assert(
      fc.property(parts, (lists) => {
        const [merged, whole] = [emptySummary(), emptySummary()];
        for (const list of lists) {
          const part = emptySummary();
          for (const each of list) {
            addValue(part, each);
            addValue(whole, each);
          }
          mergeSummary(merged, part);
        }
        const all = lists.flat();
        expect(merged).toMatchObject({ count: whole.count, min: whole.min, max: whole.max, sketch: whole.sketch });
        const size = all.reduce((most, each) => Math.max(most, Math.abs(each)), 0) * all.length;
        expect(Math.abs(merged.sum - whole.sum)).toBeLessThanOrEqual(1e-12 * size);
        expect(Math.abs(merged.squares - whole.squares)).toBeLessThanOrEqual(1e-12 * size * size);
      }),
    );
  });

  it('have a precise variance for small changes of a large value', () => {
    const summary = emptySummary();
    for (const each of [1e9 + 1, 1e9 + 2, 1e9 + 3]) addValue(summary, each);
    expect(deviationOf(summary)).toBeCloseTo(Math.sqrt(2 / 3), 6);
  });

  it('ignore non-finite values', () => {
    const summary = emptySummary();
    for (const each of [1, Number.NaN, Number.POSITIVE_INFINITY, 3]) addValue(summary, each);
    expect(summary).toMatchObject({ count: 2, sum: 4, min: 1, max: 3 });
  });
});

describe('a chunk', () => {
  const bits = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
  const points = fc
    .uniqueArray(fc.tuple(fc.integer({ min: 0, max: 2 ** 45 }), bits), { selector: ([time]) => time, maxLength: 100 })
    .map((list) => list.sort(([a], [b]) => a - b))
    .map((list) => ({
      times: Float64Array.from(list, ([time]) => time),
      values: new Float64Array(BigUint64Array.from(list, ([, each]) => each).buffer),
    }));
  const bitsOf = (values: Float64Array) => [...new BigUint64Array(values.slice().buffer)];

  it('keeps every bit of every value, NaN included', () => {
    fc.assert(
      fc.property(points, (given) => {
        const back = decodeChunk(encodeChunk(given));
        expect(back.times).toEqual(given.times);
        expect(bitsOf(back.values)).toEqual(bitsOf(given.values));
      }),
    );
  });

  it('merged with a newer one has its values for equal times', () => {
    const older = { times: Float64Array.of(1, 2, 4), values: Float64Array.of(10, 20, 40) };
    const newer = { times: Float64Array.of(2, 3), values: Float64Array.of(21, 31) };
    expect(mergePoints(older, newer)).toEqual({
      times: Float64Array.of(1, 2, 3, 4),
      values: Float64Array.of(10, 21, 31, 40),
    });
  });

  it('of an hour of a smooth metric takes a few bytes per point', () => {
    const times = Float64Array.from({ length: 120 }, (_, i) => 1.7e12 + i * 30_000);
    const values = times.map((_, i) => Math.round(1000 + 50 * Math.sin(i / 9)) / 10);
    expect(encodeChunk({ times, values }).length).toBeLessThan(120 * 8);
  });
});
