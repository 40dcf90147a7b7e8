import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { mean } from '#kernel/stats.ts';
import { forecast } from '#services/forecast/engine/engine.ts';
import { type EngineSettings, engineDefaults } from '#services/forecast/engine/engine-settings.ts';
import { coverage } from '#services/forecast/engine/scores.ts';
import { prepareSeries, type WantedSupport } from '#services/forecast/engine/series.ts';
import { type StressClass, stressClasses, stressSeries } from '../../../../bench/forecast/stress-series.ts';

const hour = 3_600_000;
const quick: Partial<EngineSettings> = { lstm: { epochs: 1, units: [8] } };
const ask = (values: (number | null)[], settings: Partial<EngineSettings> = {}, support: WantedSupport = {}) => {
  const { series } = prepareSeries(values, null, { step: hour }, [], support);
  return forecast(series, { ...engineDefaults, horizon: 24, ...quick, ...settings });
};

describe('the interval of a series that ends in an unusual way', () => {
  it.each(stressClasses)('covers most values, with a confidence that holds: %s', (name: StressClass) => {
    const scores = Array.from({ length: 24 }, (_, seed) => {
      const { history, actual } = stressSeries(name, 600 + seed, 24);
      const { mean: values, lower, upper, confidence } = ask(history);
      const near = actual.map((value, h) => (Math.abs(value - values[h]!) <= 0.2 * Math.abs(values[h]!) ? 1 : 0));
      return { inside: coverage(actual, lower!, upper!), confidence: confidence!, near: mean(near) };
    });
    expect(mean(scores.map(({ inside }) => inside))).toBeGreaterThan(0.85);
    expect(mean(scores.map(({ confidence, near }) => confidence - near))).toBeLessThan(0.15);
  });

  it('holds both values of a constant that changed once', () => {
    const { mean: values, lower, upper, confidence } = ask([...Array<number>(99).fill(100), 500], { horizon: 5 });
    expect(Math.max(...lower!)).toBeLessThanOrEqual(100);
    expect(Math.min(...upper!)).toBeGreaterThanOrEqual(500);
    expect([100, 500]).toContain(values[0]);
    expect(confidence).toBeLessThan(0.6);
  });

  it('is mostly zero after a rare demand', () => {
    const values = Array.from({ length: 120 }, (_, i) => (i % 23 === 4 || i === 119 ? 9 : 0));
    const { mean: ahead, lower } = ask(values);
    expect(Math.max(...ahead)).toBeLessThan(2);
    expect(Math.max(...lower!)).toBe(0);
  });
});

describe('the interval of any series', () => {
  it('has a width unless the series is constant, and holds the forecast', () => {
    const few = fc
      .integer({ min: 2, max: 4 })
      .chain((kinds) => fc.array(fc.integer({ min: 0, max: kinds }), { minLength: 30, maxLength: 90 }));
    const periodic = fc
      .tuple(
        fc.array(fc.double({ min: -50, max: 50, noNaN: true }), { minLength: 2, maxLength: 8 }),
        fc.integer({ min: 30, max: 90 }),
      )
      .map(([shape, n]) => Array.from({ length: n }, (_, i) => shape[i % shape.length]!));
    fc.assert(
      fc.property(fc.oneof(few, periodic), (values) => {
        const {
          mean: ahead,
          lower,
          upper,
        } = ask(values, { horizon: 6, members: ['persistence', 'seasonal_naive', 'prophet'] });
        if (!lower || !upper) return;
        const isConstant = new Set(values).size === 1;
        expect(
          ahead.every((value, h) => lower[h]! <= value && value <= upper[h]! && (isConstant || lower[h]! < upper[h]!)),
        ).toBe(true);
      }),
      { numRuns: 150 },
    );
  });
});

describe('the values that a series can have', () => {
  const counts = Array.from({ length: 60 }, (_, i) => (i % 7 === 0 ? 3 : i % 3));

  it('are detected: no negative values, integers, percentages', () => {
    const supportOf = (values: number[]) => prepareSeries(values, null).series.support;
    expect(supportOf(counts)).toEqual({ lower: 0, upper: null, integer: true });
    expect(supportOf(counts.map((value) => value - 1))).toEqual({ lower: null, upper: null, integer: true });
    expect(supportOf([99.5, 100, 98.1, 100, 100])).toEqual({ lower: 0, upper: 100, integer: false });
    expect(supportOf(Array<number>(20).fill(100))).toEqual({ lower: 0, upper: null, integer: true });
    expect(supportOf([1, 2, 3])).toEqual({ lower: 0, upper: null, integer: false });
  });

  it('are those of the request', () => {
    const declared = { lower: -5, upper: 2.5, integer: false };
    expect(
      prepareSeries(
        counts.map((value) => Math.min(value, 2)),
        null,
        {},
        [],
        declared,
      ).series.support,
    ).toEqual(declared);
    expect(prepareSeries(counts, null, {}, [], { lower: null }).series.support.lower).toBeNull();
  });

  it('are kept by forecasts and intervals', () => {
    const falling = Array.from({ length: 60 }, (_, i) => 60 - i);
    for (const { mean: ahead, lower, upper } of [ask(counts), ask(falling)])
      for (const list of [ahead, lower!, upper!])
        expect([...list].every((value) => value >= 0 && Number.isInteger(value))).toBe(true);
    const shares = Array.from({ length: 80 }, (_, i) => (i % 4 === 0 ? 0.98 : 1));
    expect(Math.max(...ask(shares).upper!)).toBe(1);
    expect(Math.min(...ask(falling, {}, { lower: null }).lower!)).toBeLessThan(0);
  });
});
