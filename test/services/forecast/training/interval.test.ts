import fc from 'fast-check';
import { expect, it } from 'vitest';
import { intervalOf } from '#services/forecast/training/pipeline.ts';
import type { Fitted } from '#services/forecast/training/pipeline-members.ts';

const withErrors = (errors: number[]) => {
  const sorted = Float64Array.from(errors).sort();
  return { residuals: [sorted, sorted, sorted] } as unknown as Fitted;
};

it('the interval of a trained prediction covers at least its level of new errors, on average', () => {
  fc.assert(
    fc.property(fc.array(fc.double({ min: -1, max: 1, noNaN: true }), { minLength: 40, maxLength: 200 }), (errors) => {
      // Each error in turn is the new one.
      const inside = errors.filter((error, i) => {
        const { lower, upper } = intervalOf(withErrors(errors.filter((_, j) => j !== i)), 0, 10);
        return 10 + error >= lower! && 10 + error <= upper!;
      });
      expect(inside.length / errors.length).toBeGreaterThanOrEqual(0.9 - 1e-9);
    }),
    { numRuns: 30 },
  );
});

it('the interval is unknown with few errors, not negative, and of whole replicas', () => {
  expect(intervalOf(withErrors(Array.from({ length: 18 }, () => 0)), 0, 10)).toEqual({ lower: null, upper: null });
  const errors = Array.from({ length: 100 }, (_, i) => (i - 50) / 20);
  expect(intervalOf(withErrors(errors), 0, 1).lower).toBe(0);
  const { lower, upper } = intervalOf(withErrors(errors), 2, 3);
  expect([lower, upper].every(Number.isInteger)).toBe(true);
});
