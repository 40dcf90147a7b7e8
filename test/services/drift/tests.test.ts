import { describe, expect, it } from 'vitest';
import { normal, seededRandom } from '#kernel/rng.ts';
import { standardDeviation } from '#kernel/stats.ts';
import { mannKendall, theilSen } from '#kernel/trend.ts';
import {
  binEdges,
  chiSquare,
  countIn,
  jensenShannon,
  kolmogorovSmirnov,
  populationStability,
  wasserstein,
  wassersteinOfBins,
} from '#services/drift/distribution-tests.ts';
import { cusum, cusumUpper, rankInflation, referenceOf, residualCorrelation } from '#services/drift/series-tests.ts';

/** Expected values from SciPy 1.17.1. */
const near = (value: number, expected: number, relative = 1e-6) =>
  expect(Math.abs(value / expected - 1)).toBeLessThan(relative);

const before = [
  0.61, 0.29, 0.06, 0.59, -1.73, -0.74, 0.51, -0.56, 0.39, 1.64, 0.05, -0.06, 0.64, -0.82, 0.37, 1.77, 1.09, -1.28,
  2.36, 1.31, 1.05, -0.32, -0.4, 1.06, -2.47,
];
const now = [
  1.26, 0.78, 1.97, 0.43, 2.18, 0.31, -0.12, 1.55, 0.94, 2.61, 1.08, 0.05, 1.71, 0.66, 3.02, 1.34, 0.89, 2.05, 0.57,
  1.42,
];
const [p, q] = [
  [36, 41, 52, 71],
  [50, 50, 50, 50],
];
const series = [4.2, 4, 4.4, 3.9, 3.6, 3.8, 3.3, 3.5, 3.1, 3.2, 2.7, 2.9];

describe('drift statistics', () => {
  it('Kolmogorov-Smirnov', () => {
    const found = kolmogorovSmirnov(before, now);
    near(found.statistic, 0.47);
    near(found.p, 0.014761363140405274);
    expect(kolmogorovSmirnov(before, before)).toEqual({ statistic: 0, p: 1 });
  });

  it('Wasserstein, in standard deviations', () => {
    near(wasserstein(before, now), 0.9163852259872962);
    expect(wasserstein([1, 1], [1, 1])).toBe(0);
  });

  it('Wasserstein distance of bins uses their centres', () => {
    const samples = (counts: number[]) => counts.flatMap((count, i) => Array.from({ length: count }, () => i + 0.5));
    near(wassersteinOfBins(p, q, [0, 1, 2, 3, 4]), wasserstein(samples(p), samples(q)), 1e-9);
  });

  it('Jensen-Shannon, chi-square, PSI and their p-values', () => {
    near(jensenShannon(p, q), 0.11141323160422387);
    const { statistic, p: chance } = chiSquare(p, q);
    near(statistic, 6.853023442999814);
    near(chance, 0.07673292280982559);
    near(populationStability(p, q).statistic, 0.06913675558153082);
    const critical = populationStability(
      Array.from({ length: 10 }, () => 10),
      Array.from({ length: 10 }, () => 10),
    ).critical;
    near(critical, 16.91897760462045 * (1 / 100 + 1 / 100));
    expect(jensenShannon([1, 0], [0, 1])).toBe(1);
    expect(chiSquare([5, 0], [5, 0])).toEqual({ statistic: 0, p: 1, degrees: 0 });
  });

  it('Mann-Kendall and Theil-Sen', () => {
    const days = series.map((_, i) => i);
    const { statistic, p: chance } = mannKendall(series, -1, 1);
    near(statistic, -3.634345051015831);
    near(chance, 0.0001393438421170342);
    const slope = theilSen(days, series);
    near(slope.perDay, -0.14722222222222217);
    near(slope.low, -0.16);
    near(slope.high, -0.1);
  });

  it('CUSUM equals a manual calculation', () => {
    const reference = { mean: 10, sd: 1, n: 20, correlation: 0 };
    const { statistic, changePoint } = cusum([10, 10.2, 9, 8, 8.5, 10], reference, -1);
    // 0, 0, 0.5, 2, 3, 2.5
    near(statistic, 3);
    expect(changePoint).toBe(2);
    expect(cusum([10, 11, 12], reference, -1)).toEqual({ statistic: 0, p: 1, changePoint: null });
  });

  it('bins contain every value once', () => {
    const edges = binEdges(before, now);
    expect(countIn(before, edges).reduce((sum, count) => sum + count)).toBe(before.length);
    expect(edges).toHaveLength(Math.ceil(Math.log2(45) + 1) + 1);
    expect(countIn([1, 1, 2], binEdges([1, 1], [1, 1]))).toEqual([0, 3]);
    expect(countIn([0, 0.999, 1, 5], [0, 1, 2, 3])).toEqual([2, 1, 1]);
  });
});

describe('drift tests in simulations', () => {
  /** An AR(1) series of standard deviation 1 around `level(i)`. */
  const simulate = (random: () => number, n: number, rho: number, level: (i: number) => number): number[] => {
    let value = normal(random);
    return Array.from({ length: n }, (_, i) => {
      if (i > 0) value = rho * value + Math.sqrt(1 - rho * rho) * normal(random);
      return value + level(i);
    });
  };
  /** The p-value of both tests together, as in an assessment. */
  const dryRun = (values: number[]): number => {
    const days = values.map((_, i) => i);
    const correlation = residualCorrelation(days, values, theilSen(days, values));
    const trend = mannKendall(values, -1, rankInflation(values.length, correlation)).p;
    if (values.length < 20) return trend;
    const size = Math.min(30, Math.floor(values.length / 2));
    const reference = referenceOf(values.slice(0, size));
    const found = cusum(
      values.slice(size),
      { ...reference, correlation: Math.max(correlation, reference.correlation) },
      -1,
    );
    return Math.min(1, 2 * Math.min(trend, found.p));
  };
  const rate = (n: number, rho: number, level: (i: number) => number, at: number): number => {
    const random = seededRandom(n * 1000 + rho * 10);
    const runs = process.env['SOAK'] ? 4000 : 800;
    let calls = 0;
    for (let i = 0; i < runs; i += 1) if (dryRun(simulate(random, n, rho, level)) <= at) calls += 1;
    return calls / runs;
  };
  const none = () => 0;

  it.each([
    [10, 0, 0.05],
    [20, 0, 0.05],
    [40, 0, 0.05],
    [60, 0, 0.05],
    [20, 0.3, 0.08],
    [40, 0.3, 0.06],
    [60, 0.5, 0.09],
    [40, 0.5, 0.08],
  ])(
    '%i stationary values with correlation %d: false warnings at 5 %% stay below %d',
    { timeout: 60_000 },
    (n, rho, most) => {
      expect(rate(n, rho, none, 0.05)).toBeLessThanOrEqual(most);
    },
  );

  it.each([
    [20, 0, 0.02],
    [40, 0, 0.02],
    [40, 0.5, 0.05],
  ])(
    '%i stationary values with correlation %d: false drift at 2 %% stays below %d',
    { timeout: 60_000 },
    (n, rho, most) => {
      expect(rate(n, rho, none, 0.02)).toBeLessThanOrEqual(most);
    },
  );

  it.each([
    [40, 'a step of two standard deviations', (i: number) => (i < 20 ? 0 : -2), 0.95],
    [60, 'a step of one standard deviation', (i: number) => (i < 30 ? 0 : -1), 0.75],
    [40, 'a slow fall of two standard deviations', (i: number) => (-2 * i) / 40, 0.75],
    [20, 'a step of two standard deviations', (i: number) => (i < 10 ? 0 : -2), 0.7],
  ])('detect drift in %i values with %s', { timeout: 60_000 }, (n, _what, level, least) => {
    expect(rate(n, 0, level, 0.02)).toBeGreaterThanOrEqual(least);
  });

  it('interpolate the table of CUSUM p-values', { timeout: 60_000 }, () => {
    const random = seededRandom(99);
    for (const [n, m] of [
      [12, 20],
      [25, 45],
      [30, 100],
    ] as const) {
      const runs = 4000;
      const counts = [0, 0, 0];
      for (let i = 0; i < runs; i += 1) {
        const all = simulate(random, n + m, 0, none);
        const base = all.slice(0, n);
        const reference = { mean: base.reduce((a, b) => a + b) / n, sd: standardDeviation(base), n, correlation: 0 };
        const { statistic } = cusum(all.slice(n), reference, -1);
        for (const [k, level] of [0.1, 0.05, 0.02].entries())
          if (cusumUpper(statistic, n, m) <= level) counts[k] = (counts[k] ?? 0) + 1;
      }
      for (const [k, level] of [0.1, 0.05, 0.02].entries())
        expect(Math.abs((counts[k] ?? 0) / runs - level), `${n} ${m} ${level}`).toBeLessThan(0.25 * level + 0.006);
    }
  });

  it('PSI, Jensen-Shannon and chi-square give no alarm for equal distributions with 100 rows', () => {
    const random = seededRandom(4);
    let flagged = 0;
    for (let i = 0; i < 500; i += 1) {
      const draw = () => Array.from({ length: 100 }, () => normal(random));
      const [a, b] = [draw(), draw()];
      const edges = binEdges(a, b);
      const { statistic, critical } = populationStability(countIn(a, edges), countIn(b, edges));
      if (statistic >= Math.max(0.1, critical)) flagged += 1;
    }
    expect(flagged / 500).toBeLessThanOrEqual(0.12);
  });
});
