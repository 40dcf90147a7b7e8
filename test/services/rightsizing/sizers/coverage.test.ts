import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { normal, seededRandom } from '#kernel/rng.ts';
import { fitCapacity, planFor } from '#services/rightsizing/capacity/capacity.ts';
import {
  confidenceAt,
  confidenceOf,
  coverageFactors,
  createCoverageTracker,
} from '#services/rightsizing/sizers/coverage.ts';

describe('the coverage tracker', () => {
  it('starts with the prior, follows observations, and grows with the factor', () => {
    fc.assert(
      fc.property(fc.array(fc.double({ min: 0.1, max: 4, noNaN: true }), { maxLength: 60 }), (needed) => {
        const coverage = createCoverageTracker({ horizons: 12, kept: 0.75 });
        expect(confidenceOf(coverage.confidences())).toBeCloseTo(0.75, 9);
        for (const need of needed) coverage.add(1, (factor) => factor >= need);
        const said = coverage.confidences();
        const kept = needed.filter((need) => need <= 1).length;
        expect(confidenceOf(said)).toBeCloseTo((kept + 9) / (needed.length + 12), 9);
        const along = Array.from({ length: 300 }, (_, i) => confidenceAt(said, 0.01 * i));
        expect(along.every((value, i) => value >= 0 && value <= 1 && value >= (along[i - 1] ?? 0) - 1e-12)).toBe(true);
        for (const [i, factor] of coverageFactors.entries())
          expect(confidenceAt(said, factor)).toBeCloseTo(said[i]!, 9);
      }),
    );
  });

  it('returns the probability of the margin for a given demand', () => {
    const random = seededRandom(5);
    const points = [10, 20, 40, 80, 160].flatMap((users) =>
      [1, 2, 4].map((replicas) => {
        const load = users / replicas;
        const cpu = (0.02 + 0.004 * load) * Math.exp(0.1 * normal(random));
        const common = { scenario: 'browsing', grade: 'high', loadFrom: 'request_rate', latencyMs: 20 } as const;
        return { ...common, id: `${replicas}-${users}`, users, replicas, load, cpu, memory: 60e6 };
      }),
    );
    const capacity = fitCapacity(points, 0.95);
    if (typeof capacity === 'string') throw new Error(capacity);
    expect(planFor(capacity, 80, null, 2).confidence).toBeCloseTo(0.95, 9);
    const unsure = createCoverageTracker({ horizons: 12, kept: 0.75 }).confidences();
    const { confidence } = planFor(capacity, 80, unsure, 2);
    // The margin also covers part of the demand's uncertainty.
    expect(confidence).toBeGreaterThan(0.75);
    expect(confidence).toBeLessThan(0.95);
    expect(planFor(capacity, 0, unsure, 2).confidence).toBeGreaterThan(0.9);
  });
});
