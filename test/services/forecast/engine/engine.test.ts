import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { normal, seededRandom } from '#kernel/rng.ts';
import { forecast } from '#services/forecast/engine/engine.ts';
import { type EngineSettings, engineDefaults } from '#services/forecast/engine/engine-settings.ts';
import { periodsOfStep, prepareSeries, timeAt } from '#services/forecast/engine/series.ts';

const hour = 3_600_000;
const soak = process.env['SOAK'] === '1';
/** A small network, so that a thousand series take minutes instead of hours. */
const quick: Partial<EngineSettings> = { lstm: { epochs: 1, units: [8] } };
const ask = (values: (number | null)[], settings: Partial<EngineSettings> = {}, step: number | null = hour) => {
  const { series, trailing, notes } = prepareSeries(values, null, { step });
  return { ...forecast(series, { ...engineDefaults, horizon: 24, ...quick, ...settings }), trailing, notes };
};
/** Daily cycles with a slope and noise. */
const daily = (days: number, noise: number, seed = 1) => {
  const random = seededRandom(seed);
  return Array.from(
    { length: days * 24 },
    (_, i) => 100 + 0.02 * i + 20 * Math.sin((2 * Math.PI * i) / 24) + noise * normal(random),
  );
};

describe('a forecast', () => {
  it('is finite or refused with a reason for any series', () => {
    const value = fc.oneof(
      { weight: 8, arbitrary: fc.double({ min: -1e3, max: 1e3, noNaN: true }) },
      { weight: 2, arbitrary: fc.constantFrom(null, Number.NaN, 0, 1e12, -1e12, 1e-12, Number.POSITIVE_INFINITY) },
    );
    const shapes = fc.oneof(
      fc.array(value, { maxLength: 3 }),
      fc.array(value, { minLength: 4, maxLength: 130 }),
      fc
        .tuple(fc.double({ min: -1e12, max: 1e12, noNaN: true }), fc.integer({ min: 1, max: 400 }))
        .map(([one, n]) => Array.from({ length: n }, () => one)),
      fc
        .tuple(fc.integer({ min: 2, max: 16 }), fc.integer({ min: 0, max: 2 }), fc.integer())
        .map(([days, size, seed]) => daily(days, 3, seed).map((x) => x * 10 ** (6 * size))),
      fc
        .tuple(fc.integer({ min: 3, max: 14 }), fc.integer(), fc.double({ min: 0.1, max: 0.9, noNaN: true }))
        .map(([days, seed, share]) => {
          const random = seededRandom(seed);
          return daily(days, 3, seed).map((x) => (random() < share ? null : x));
        }),
    );
    fc.assert(
      fc.property(
        shapes,
        fc.constantFrom(hour, 24 * hour, null),
        fc.integer({ min: 1, max: 40 }),
        (values, step, horizon) => {
          const known = values.filter((x) => x !== null && Number.isFinite(x));
          const [first, last] = [values, values.toReversed()].map((list) =>
            list.findIndex((x) => x !== null && Number.isFinite(x)),
          );
          if (known.length < (values.length - first! - last!) / 2) {
            expect(() => ask(values, { horizon }, step)).toThrow(/too many to fill in|the series has no values/);
            return;
          }
          if (known.length === 0) {
            expect(() => ask(values, { horizon }, step)).toThrow(/the series has no values/);
            return;
          }
          const answer = ask(values, { horizon }, step);
          expect([...answer.mean].every(Number.isFinite)).toBe(true);
          expect(answer.mean).toHaveLength(horizon);
          if (answer.lower && answer.upper)
            for (const [h, mean] of answer.mean.entries()) {
              expect(answer.lower[h]!).toBeLessThanOrEqual(mean);
              expect(answer.upper[h]!).toBeGreaterThanOrEqual(mean);
            }
          const total = answer.members.reduce((sum, { weight }) => sum + weight, 0);
          expect(total).toBeCloseTo(answer.withoutMembers ? 0 : 1, 6);
          for (const { weight, left_out } of answer.members) expect(weight > 0).toBe(left_out === null);
        },
      ),
      { numRuns: soak ? 1000 : 100 },
    );
  });

  it('of a constant series is constant, without a width', () => {
    const { mean, lower, upper } = ask(Array.from({ length: 200 }, () => 7));
    expect([...mean]).toEqual(Array.from({ length: 24 }, () => expect.closeTo(7, 9)));
    expect(upper![0]! - lower![0]!).toBeLessThan(1e-9);
  });

  it('of a single point is constant, without a confidence', () => {
    expect(ask([5])).toMatchObject({ lower: null, upper: null, confidence: null, fusion: 'median' });
    expect(ask([5]).mean[23]).toBe(5);
  });

  it('is the same in any unit', () => {
    const values = daily(20, 3);
    const [one, large] = [ask(values), ask(values.map((x) => x * 1e9))];
    for (const [h, value] of one.mean.entries()) expect(large.mean[h]! / 1e9).toBeCloseTo(value, 3);
  });
});

describe('the fused forecast', () => {
  it('of a daily cycle is accurate, and reports the weights', () => {
    const answer = ask(daily(30, 2));
    const truth = (h: number) => 100 + 0.02 * (720 + h) + 20 * Math.sin((2 * Math.PI * (720 + h)) / 24);
    const error = answer.mean.reduce((sum, value, h) => sum + Math.abs(value - truth(h)) / 24, 0);
    expect(error).toBeLessThan(1.2);
    expect(answer.members.map(({ name }) => name)).toEqual([
      'persistence',
      'seasonal_naive',
      'seasonal_profile',
      'mstl',
      'ridge',
      'ridge_2',
      'autoregression',
      'autoregression_log',
      'prophet',
      'lstm',
    ]);
    expect(answer.members.find(({ name }) => name === 'persistence')).toMatchObject({
      weight: 0,
      left_out: 'error more than twice that of the best member',
    });
    expect(answer.confidence!).toBeGreaterThan(0.95);
  });

  it('reports a failed member and continues without it', () => {
    const answer = ask(daily(20, 2), { lstm: { epochs: 1, build: 'nonsense' as never } });
    expect(answer.members.find(({ name }) => name === 'lstm')).toMatchObject({
      weight: 0,
      left_out: expect.stringMatching(/^failed to fit: /),
    });
    expect([...answer.mean].every(Number.isFinite)).toBe(true);
  });

  it('can be the fixed blend of two members', () => {
    const answer = ask(daily(20, 2), { fusion: 'fixed' });
    const parts = answer.members.filter(({ weight }) => weight > 0);
    expect(parts.map(({ name, weight }) => [name, weight])).toEqual([
      ['prophet', 0.4],
      ['lstm', 0.6],
    ]);
    expect(answer.mean[3]).toBeCloseTo(0.4 * parts[0]!.mean![3]! + 0.6 * parts[1]!.mean![3]!, 9);
  });

  it('has the interval and confidence of its fusion mode', () => {
    const [weighted, median, fixed] = (['weighted', 'median', 'fixed'] as const).map((fusion) =>
      ask(daily(30, 2), { fusion }),
    );
    const width = (answer: typeof weighted) => answer!.upper![5]! - answer!.lower![5]!;
    expect(width(median)).not.toBe(width(weighted));
    expect(width(fixed)).not.toBe(width(weighted));
  });

  it('reports that it repeats the last value if no member could be used', () => {
    expect(ask([5, 6, 9], { members: ['lstm'] })).toMatchObject({
      withoutMembers: true,
      lower: null,
      upper: null,
      confidence: null,
    });
    expect(ask(daily(3, 1).slice(0, 16), { members: ['lstm'] })).toMatchObject({ withoutMembers: true, lower: null });
  });

  it('is deterministic', () => {
    expect(ask(daily(15, 4))).toEqual(ask(daily(15, 4)));
  });

  it('has intervals with their nominal coverage', () => {
    let [inside, all] = [0, 0];
    for (let seed = 1; seed <= 12; seed += 1) {
      const values = daily(21, 5, seed);
      const { lower, upper } = ask(values.slice(0, -24), {
        level: 0.8,
        members: ['seasonal_naive', 'prophet', 'ridge'],
      });
      for (const [h, value] of values.slice(-24).entries()) if (value >= lower![h]! && value <= upper![h]!) inside += 1;
      all += 24;
    }
    expect(inside / all).toBeGreaterThan(0.72);
    expect(inside / all).toBeLessThan(0.92);
  });
});

describe('prepareSeries', () => {
  it('builds a grid from unordered times, duplicates and gaps', () => {
    const at = [3, 1, 2, 2, 6].map((i) => i * hour);
    const { series, notes } = prepareSeries([30, 10, 20, 22, 60], at);
    expect([...series.values]).toEqual([10, 21, 30, 40, 50, 60]);
    expect([series.step, timeAt(series, 0), timeAt(series, 6)]).toEqual([hour, hour, 7 * hour]);
    expect(notes).toEqual(['several values of one time step were averaged', '2 of 6 missing values were filled in']);
  });

  it('cuts a series that is too long to start with a value', () => {
    const values = Array.from({ length: 20_010 }, (_, i) => (i >= 8 && i <= 13 ? null : i));
    expect(prepareSeries(values, null).series.values[0]).toBe(14);
  });

  it('forecasts missing values at the end', () => {
    expect(prepareSeries([1, 2, 3, null, null], null, { step: hour }).trailing).toBe(2);
  });

  it('detects the season by autocorrelation without timestamps', () => {
    const random = seededRandom(3);
    const wave = Array.from({ length: 200 }, (_, i) => Math.sin((2 * Math.PI * i) / 13) + 0.2 * normal(random));
    expect(prepareSeries(wave, null).series.periods).toEqual([13]);
    expect(
      prepareSeries(
        Array.from({ length: 200 }, () => normal(random)),
        null,
      ).series.periods,
    ).toEqual([]);
  });

  it.each([
    [hour, [24, 168]],
    [hour / 12, [288, 2016]],
    [24 * hour, [7, 365]],
    [30 * 24 * hour, [12]],
  ])('uses for values every %d ms the seasons %j', (step, periods) => {
    expect(periodsOfStep(step)).toEqual(periods);
  });

  it.each([
    [[], null, /the series has no values/],
    [[null, Number.NaN], null, /the series has no values/],
    [[1, 1e200], null, /position 1 is beyond/],
    [[1, 2], [0], /timestamps must have as many elements as values, 2 \(got 1\)/],
    [[1, 2], [0, Number.NaN], /timestamps must be ISO 8601 times/],
    [[1, 2], [5, 5], /all timestamps are the same/],
    [[1, null, null, null, 2], null, /3 of 5 values are missing: too many to fill in/],
    [[1, 2, 3, 4], [0, 1, 2, 1e9], /too sparse/],
  ])('refuses %j at %j', (values, times, message) => {
    expect(() => prepareSeries(values, times)).toThrow(message);
  });
});
