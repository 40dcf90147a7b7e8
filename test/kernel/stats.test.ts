import { describe, expect, it } from 'vitest';
import { normal, seededRandom } from '#kernel/rng.ts';
import {
  benjaminiHochberg,
  chiSquareUpper,
  chiSquareUpperQuantile,
  kolmogorovUpper,
  lagOneCorrelation,
  median,
  normalUpper,
  normalUpperQuantile,
  quantile,
  standardDeviation,
} from '#kernel/stats.ts';

/** Expected values from SciPy 1.17.1. */
const near = (value: number, expected: number, relative = 1e-6) =>
  expect(Math.abs(value / expected - 1)).toBeLessThan(relative);

describe('distributions', () => {
  it.each([
    [1.96, 0.024997895148220435],
    [-1, 0.8413447460685429],
    [6, 9.865876450376946e-10],
  ])('have the upper tail of the normal distribution at %d', (z, p) => near(normalUpper(z), p, 2e-7));
  it.each([
    [0.025, 1.9599639845400545],
    [0.001, 3.090232306167813],
    [0.9, -1.2815515655446004],
  ])('have the normal quantile %d', (p, z) => near(normalUpperQuantile(p), z, 1e-8));
  it.each([
    [3.841458820694124, 1, 0.04999999999999989],
    [30, 10, 0.000856641210775301],
    [5, 10, 0.8911780189141513],
    [200, 100, 1.1784500720979781e-8],
  ])('have the upper tail of chi-square at %d with %d degrees', (x, degrees, p) =>
    near(chiSquareUpper(x, degrees), p, 1e-9));
  it('have a chi-square quantile', () => near(chiSquareUpperQuantile(0.05, 9), 16.91897760462045, 1e-10));
  it.each([
    [0.3, 0.9999906941986655],
    [0.8276, 0.49995841656354456],
    [1.358, 0.05002679733444698],
    [2, 0.0006709252557796953],
  ])('have the upper tail of Kolmogorov at %d', (x, p) => near(kolmogorovUpper(x), p, 1e-9));
});

describe('descriptions', () => {
  it('are quantile, median and standard deviation', () => {
    near(quantile([1, 2, 4, 8, 16], 0.3), 2.4);
    near(standardDeviation([1, 2, 4, 8, 16]), 6.099180272790763);
    expect(median([5, 1, 3])).toBe(3);
    expect(standardDeviation([5])).toBe(0);
  });

  it('estimates the lag-1 correlation of AR(1) series without bias, also of short ones', () => {
    for (const rho of [0.3, 0.6]) {
      const random = seededRandom(5);
      let total = 0;
      for (let i = 0; i < 2000; i += 1) {
        let value = normal(random);
        total += lagOneCorrelation(
          Array.from({ length: 30 }, () => (value = rho * value + Math.sqrt(1 - rho * rho) * normal(random))),
        );
      }
      expect(Math.abs(total / 2000 - rho)).toBeLessThan(0.04);
    }
  });

  it('Benjamini-Hochberg', () => {
    const adjusted = benjaminiHochberg([0.01, 0.04, 0.03, 0.005, 0.2, 1]);
    for (const [i, expected] of [0.03, 0.06, 0.06, 0.03, 0.24, 1].entries()) near(adjusted[i] ?? 0, expected);
    expect(benjaminiHochberg([])).toEqual([]);
  });
});
