import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { normal, seededRandom } from '#kernel/rng.ts';
import { backtest, feed, sizerFor, strategies, summaryOf } from '#services/rightsizing/backtest/backtest.ts';
import { calibrationError, replay } from '#services/rightsizing/backtest/replay.ts';
import { createLogHistogram } from '#services/rightsizing/sizers/log-histogram.ts';
import { windowOf } from '#services/rightsizing/sizers/window.ts';
import { towerStrategy } from '#services/rightsizing/strategies/names.ts';
import { day, hour, type Resource, type Usage } from '#services/rightsizing/usage.ts';

const stepMs = 300_000;
const perDay = day / stepMs;
const usageOf = (values: Float64Array): Usage => ({ startMs: 0, stepMs, values });
const sizeOf = (resource: Resource, values: Float64Array, horizonMs = day) => {
  const sizer = sizerFor(resource, stepMs, horizonMs, resource === 'cpu' ? 0.01 : 1);
  feed(sizer, usageOf(values), null);
  return sizer.recommend();
};
/** A daily cycle with proportional noise. */
const daily = (days: number, seed: number): Float64Array => {
  const random = seededRandom(seed);
  return Float64Array.from(
    { length: days * perDay },
    (_, i) => (0.5 + 0.3 * Math.sin((2 * Math.PI * i) / perDay)) * Math.exp(0.15 * normal(random)),
  );
};

describe('windowOf', () => {
  it('finds the cheapest request', () => {
    fc.assert(
      fc.property(
        fc.array(fc.double({ min: 0, max: 1e6, noNaN: true }), { minLength: 1 }),
        fc.double({ min: 0, max: 1e6, noNaN: true }),
        (values, request) => {
          const window = windowOf(Float64Array.from(values));
          const plain = values.reduce((sum, value) => sum + request + 20 * Math.max(0, value - request), 0);
          expect(window.cost(request, 20)).toBeCloseTo(plain, 3);
          expect(window.least(20, 0)).toBeLessThanOrEqual(plain * (1 + 1e-9) + 1e-9);
          expect(window.above(request)).toBeCloseTo(
            values.filter((value) => value > request).length / values.length,
            12,
          );
        },
      ),
    );
  });
});

describe('createLogHistogram', () => {
  it('returns quantiles within 0.7 %', () => {
    const histogram = createLogHistogram(0.001, day);
    for (let i = 1; i <= 1000; i += 1) histogram.add(i / 1000, 0);
    for (const share of [0.5, 0.9, 0.95, 0.99]) expect(histogram.quantile(share) / share).toBeCloseTo(1, 1.5);
  });

  it('is stable over years of steps', () => {
    const histogram = createLogHistogram(0.001, hour);
    for (let i = 0; i < 20_000; i += 1) histogram.add(i < 19_000 ? 5 : 1, i * hour);
    expect(histogram.quantile(0.95)).toBeCloseTo(1, 1);
  });
});

describe('the sizer', () => {
  it('meets the stated share for a daily cycle', () => {
    for (const horizonMs of [day, hour]) {
      const series = [1, 2, 3, 4].map((seed) => usageOf(daily(24, seed)));
      const [tested] = backtest(series, { resource: 'cpu', horizonMs }, [towerStrategy]);
      const { violations, regret, calibration_error } = summaryOf(tested!)!;
      expect(violations).toBeGreaterThan(0.03);
      expect(violations).toBeLessThan(0.07);
      expect(regret).toBeLessThan(1.1);
      expect(calibration_error).toBeLessThan(0.3);
    }
  });

  it('follows the time of day, and so requests less than fixed rules', () => {
    const tested = backtest([usageOf(daily(21, 7))], { resource: 'cpu', horizonMs: hour }).map(summaryOf);
    const regretOf = (name: string) => tested.find((each) => each?.strategy === name)!.regret;
    for (const { name } of strategies) expect(regretOf(towerStrategy)).toBeLessThan(regretOf(name));
    expect(regretOf('oracle')).toBe(1);
  });

  it('requests memory that is not exceeded, with a smaller margin for equal peaks', () => {
    const random = seededRandom(5);
    const steady = Float64Array.from({ length: 21 * perDay }, () => 1e8 * (1 + 0.01 * random()));
    const wild = Float64Array.from({ length: 21 * perDay }, (_, i) => 1e8 * (i % perDay === 5 ? 1 + random() : 0.5));
    const [calm, rough] = [sizeOf('memory', steady), sizeOf('memory', wild)];
    expect(calm.request! / 1.01e8).toBeCloseTo(1.03, 2);
    expect(rough.factor).toBeGreaterThan(1.15);
    const [tested] = backtest([usageOf(wild)], { resource: 'memory', horizonMs: day }, [towerStrategy]);
    expect(summaryOf(tested!)!.violated_windows).toBeLessThan(0.1);
  });

  it('does not expect a single level shift every day', () => {
    const shifted = Float64Array.from({ length: 14 * perDay }, (_, i) => (i < perDay ? 5e7 : 4e8));
    expect(sizeOf('memory', shifted).request! / 4e8).toBeLessThanOrEqual(1.5 + 1e-9);
    const rising = Float64Array.from({ length: perDay + 12 }, (_, i) => 1e8 * (1 + i / perDay));
    // Without data it uses the default factor, with low confidence.
    expect(sizeOf('memory', rising).confidence).toBeLessThan(0.96);
  });

  it('has no request without data, and the minimum for zeros', () => {
    for (const resource of ['cpu', 'memory'] as const) {
      expect(sizeOf(resource, new Float64Array(0))).toMatchObject({ request: null, confidence: null });
      expect(sizeOf(resource, new Float64Array(14 * perDay).fill(Number.NaN)).request).toBeNull();
    }
    expect(sizeOf('cpu', new Float64Array(14 * perDay)).request).toBeCloseTo(0.01, 3);
  });

  it('always returns a finite number or null', () => {
    const value = fc.oneof(
      { weight: 6, arbitrary: fc.double({ min: 0, max: 10, noNaN: true }) },
      fc.constant(Number.NaN),
      fc.constantFrom(0, 1e-12, 1e9),
    );
    const stride = fc.array(value, { minLength: 12, maxLength: 12 });
    fc.assert(
      fc.property(
        fc.array(stride, { maxLength: 60 }),
        fc.constantFrom<Resource>('cpu', 'memory'),
        (strides, resource) => {
          const sizer = sizerFor(resource, stepMs, hour, 0.01);
          for (const values of strides) {
            sizer.add(Float64Array.from(values));
            const { request, confidence, factor } = sizer.recommend();
            if (request !== null) {
              expect(Number.isFinite(request)).toBe(true);
              expect(request).toBeGreaterThanOrEqual(0.01);
            }
            if (confidence !== null) expect(confidence > 0 && confidence < 1).toBe(true);
            expect(Number.isFinite(factor)).toBe(true);
          }
        },
      ),
      { numRuns: process.env['SOAK'] === '1' ? 1000 : 100 },
    );
  });
});

const sixty = (value: number): number[] => Array.from({ length: 60 }, () => value);

describe('a backtest', () => {
  it('has finite results for any usage', () => {
    const value = fc.oneof(
      { weight: 5, arbitrary: fc.double({ min: 0, max: 1e3, noNaN: true }) },
      fc.constantFrom(0, Number.NaN, 1e-300, 1e12, 1e18),
    );
    const series = fc.oneof(
      fc.array(value, { minLength: 30, maxLength: 80 }),
      fc.constantFrom(sixty(0), sixty(5), [...sixty(Number.NaN), 1]),
    );
    fc.assert(
      fc.property(series, fc.constantFrom<Resource>('cpu', 'memory'), (values, resource) => {
        const usage = { startMs: 0, stepMs: hour, values: Float64Array.from(values) };
        for (const tested of backtest([usage], { resource, horizonMs: 4 * hour, warmUpMs: 12 * hour })) {
          const { strategy, calibration_error, ...numbers } = summaryOf(tested) ?? {
            strategy: '',
            calibration_error: null,
          };
          for (const [name, number] of Object.entries(numbers))
            expect([strategy, name, Number.isFinite(number)]).toEqual([strategy, name, true]);
          if (calibration_error !== null) expect(calibration_error).toBeLessThanOrEqual(1);
        }
      }),
      { numRuns: process.env['SOAK'] === '1' ? 1000 : 100 },
    );
  });
});

describe('replay', () => {
  const settings = { horizonMs: hour, warmUpMs: hour, weight: 20, allowed: 0.05, least: 0.01 };
  const ofRequest = (request: number | null) => () => ({ request, confidence: 0.8 });

  it('measures violations, slack and cost', () => {
    // One hour of warm-up, then one of 12 steps: eleven at 1, one at 3.
    const values = Float64Array.from({ length: 24 }, (_, i) => (i === 23 ? 3 : 1));
    const outcome = replay(usageOf(values), 'cpu', ofRequest(2), settings)!;
    expect(outcome).toMatchObject({ violations: 1 / 12, violatedWindows: 1, windows: 1, abstentions: 0 });
    expect(outcome.slack).toBeCloseTo(1 - 13 / 24, 12);
    expect(outcome.excess).toBeCloseTo(1 / 14, 12);
    // 12 × 2 + 20 × 1; the minimum is 12 × 3.
    expect(outcome.regret).toBeCloseTo(44 / 36, 12);
    expect(outcome.stated).toEqual([{ confidence: 0.8, kept: false }]);
  });

  it('counts OOM kills, each of which raises the request', () => {
    const mib = 2 ** 20;
    const values = Float64Array.from({ length: 24 }, (_, i) => (i < 12 ? 100 : i < 18 ? 200 : 600) * mib);
    const outcome = replay(usageOf(values), 'memory', ofRequest(150 * mib), { ...settings, horizonMs: day / 24 })!;
    expect(outcome.oomsPerDay).toBeCloseTo(2 * 24, 9);
  });

  it('keeps the previous request if there is none', () => {
    const values = new Float64Array(36).fill(1);
    let asked = 0;
    const outcome = replay(
      usageOf(values),
      'cpu',
      () => ({ request: (asked += 1) === 1 ? 2 : null, confidence: null }),
      settings,
    )!;
    expect(outcome).toMatchObject({ abstentions: 0.5, windows: 2, churn: 0, violations: 0 });
    expect(outcome.requests.map(({ request }) => request)).toEqual([2, 2]);
  });

  it('is null without a complete window', () => {
    expect(replay(usageOf(new Float64Array(12)), 'cpu', ofRequest(1), settings)).toBeNull();
  });

  it('measures calibration', () => {
    const said = (confidence: number, kept: boolean, times: number) =>
      Array.from({ length: times }, () => ({ confidence, kept }));
    expect(calibrationError([...said(0.9, true, 9), ...said(0.9, false, 1)])).toBeCloseTo(0, 12);
    expect(calibrationError([...said(0.9, true, 5), ...said(0.9, false, 5)])).toBeCloseTo(0.4, 12);
  });
});
