import fc from 'fast-check';
import { expect, it } from 'vitest';
import { probabilitiesWithin } from '#services/forecast/engine/intervals.ts';

it('probabilities are strictly between 0 and 1, and grow with the distance', () => {
  const errors = fc.array(fc.double({ min: 0.01, max: 100, noNaN: true }), { minLength: 2, maxLength: 60 });
  fc.assert(
    fc.property(errors, fc.integer({ min: 2, max: 10 }), (all, origins) => {
      const scores = Float64Array.from(all).sort();
      const distances = Float64Array.from({ length: 400 }, (_, i) => 0.001 * 1.05 ** i);
      const shape = new Float64Array(distances.length).fill(1);
      const said = probabilitiesWithin({ shape, scores, origins, errors: [] }, distances);
      const n = scores.length;
      expect(said.every((value, i) => value > 0 && value >= (said[i - 1] ?? 0) - 1e-12)).toBe(true);
      expect(said[0]).toBeLessThanOrEqual(1 / (n + 1));
      expect(said.at(-1)).toBeCloseTo(n / (n + 1), 9);
    }),
  );
});
