import { describe, expect, it } from 'vitest';
import { normal, seededRandom } from '#kernel/rng.ts';
import type { Series } from '#services/forecast/engine/series.ts';
import { anyValue } from '#services/forecast/engine/support.ts';
import { autoregression } from '#services/forecast/members/autoregression.ts';
import { seasonalProfile } from '#services/forecast/members/profile.ts';

const series = (values: number[], periods: number[]): Series => ({
  values: Float64Array.from(values),
  periods,
  step: null,
  grid: null,
  support: anyValue,
});
const farthest = (a: ArrayLike<number>, b: ArrayLike<number>): number =>
  Math.max(...Array.from(a, (value, i) => Math.abs(value - b[i]!)));

/** Series with x(t) = x(t-24) + 0.8 (x(t-1) - x(t-25)) and random initial values. */
function lawful(n: number): number[] {
  const random = seededRandom(3);
  const values = Array.from({ length: 49 }, (_, i) => 100 + 20 * Math.sin((2 * Math.PI * i) / 24) + normal(random));
  for (let t = 49; t < n; t += 1) {
    const shock = t < n - 24 ? normal(random) : 0;
    values.push(values[t - 24]! + 0.8 * (values[t - 1]! - values[t - 25]!) + shock);
  }
  return values;
}

describe('autoregression', () => {
  it('finds the coefficients of an autoregressive series', () => {
    const values = lawful(1_224);
    const { predict } = autoregression(false).fit(series(values.slice(0, 1_200), [24]), 24);
    const naive = values.slice(1_176, 1_200);
    const truth = values.slice(1_200);
    expect(farthest(predict(24), truth)).toBeLessThan(0.25 * farthest(naive, truth));
  });

  it('in logarithms continues growth by ratios, and refuses non-positive values', () => {
    const values = Array.from({ length: 720 }, (_, i) => 1.002 ** i * (3 + Math.sin((2 * Math.PI * i) / 24)));
    const truth = Array.from({ length: 48 }, (_, h) => 1.002 ** (720 + h) * (3 + Math.sin((2 * Math.PI * h) / 24)));
    expect(
      farthest(
        autoregression(true)
          .fit(series(values, [24]), 48)
          .predict(48),
        truth,
      ),
    ).toBeLessThan(0.15);
    expect(() => autoregression(true).fit(series([...values, 0], [24]), 48)).toThrow('not every value is positive');
  });

  it('limits steps to the largest one observed', () => {
    const values = Array.from({ length: 300 }, (_, i) => 1.05 ** i);
    const ahead = autoregression(false).fit(series(values, []), 500).predict(500);
    const most = values[299]! - values[298]!;
    expect(ahead[499]! - values[299]!).toBeLessThanOrEqual(500 * most * 1.0001);
  });
});

describe('the seasonal profile', () => {
  it('repeats a constant week', () => {
    const week = Array.from({ length: 168 }, (_, i) => 50 + (i % 24) + 5 * Math.floor(i / 24));
    const ahead = seasonalProfile.fit(series([...week, ...week, ...week], [24, 168]), 200).predict(200);
    expect(farthest(ahead, [...week, ...week.slice(0, 32)])).toBeLessThan(1e-9);
  });

  it('follows part of a level change, as a ratio if all values are positive', () => {
    const week = Array.from({ length: 168 }, (_, i) => 50 + (i % 24));
    const values = [...week, ...week, ...week.slice(0, 24).map((value) => 2 * value)];
    const ahead = seasonalProfile.fit(series(values, [24, 168]), 24).predict(24);
    for (const [h, value] of ahead.entries()) expect(value / week[24 + h]!).toBeCloseTo(2 ** 0.6, 9);
  });
});
