import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { normal, seededRandom } from '#kernel/rng.ts';
import type { LoadPoint } from '#services/acquisition/experiments/load-points.ts';
import { type Capacity, curveAt, fitCapacity, marginAt, planFor } from '#services/rightsizing/capacity/capacity.ts';

/** Synthetic Online Boutique: cores and bytes are linear in load, with proportional noise. */
function points(
  change: Partial<{ noise: number; base: number; slope: number; curve: number; scenario: string; seed: number }> = {},
) {
  const { noise = 0.03, base = 0.02, slope = 0.004, curve = 0, scenario = 'browsing', seed = 1 } = change;
  const random = seededRandom(seed);
  return [1, 2, 4].flatMap((replicas) =>
    [5, 10, 20, 30, 50, 75].map((users): LoadPoint => {
      const load = users / 2 / replicas;
      const value = (a: number, b: number) => (a + b * load + curve * load ** 2) * Math.exp(noise * normal(random));
      return {
        id: `web_${scenario}_replicas_${replicas}_users_${users}`,
        scenario,
        users,
        replicas,
        grade: 'high',
        load,
        loadFrom: 'request_rate',
        latencyMs: null,
        cpu: value(base, slope),
        memory: value(60e6, 2e5),
      };
    }),
  );
}
const fit = (given: LoadPoint[], share = 0.95): Capacity => {
  const capacity = fitCapacity(given, share);
  if (typeof capacity === 'string') throw new Error(capacity);
  return capacity;
};

describe('fitCapacity', () => {
  it('finds the line, and reports its error at unseen loads', () => {
    const capacity = fit(points());
    expect(capacity).toMatchObject({
      scenario: 'browsing',
      loadFrom: 'request_rate',
      experiments: 18,
      levels: 6,
      maxLoad: 37.5,
    });
    expect(capacity.cpu.base).toBeCloseTo(0.02, 2);
    expect(Math.abs(capacity.cpu.perRequest / 0.004 - 1)).toBeLessThan(0.05);
    expect(capacity.cpu.error).toBeLessThan(0.05);
    expect(marginAt(capacity.cpu, 30)).toBeGreaterThan(1);
    expect(marginAt(capacity.cpu, 30)).toBeLessThan(1.12);
    expect(marginAt(fit(points({ noise: 0 })).cpu, 30)).toBeCloseTo(1, 6);
  });

  it('has a margin that is exceeded as often as stated', () => {
    // New replicas at a load between the levels: how many need more than the curve with its margin.
    let [above, all] = [0, 0];
    for (let seed = 1; seed <= 200; seed += 1) {
      const { cpu } = fit(points({ seed, noise: 0.08 }), 0.9);
      const random = seededRandom(10_000 + seed);
      for (let i = 0; i < 20; i += 1) {
        const load = 2 + 30 * random();
        if ((0.02 + 0.004 * load) * Math.exp(0.08 * normal(random)) > curveAt(cpu, load) * marginAt(cpu, load))
          above += 1;
        all += 1;
      }
    }
    expect(above / all).toBeGreaterThan(0.03);
    expect(above / all).toBeLessThan(0.1);
  });

  it('finds a curve if usage per request grows', () => {
    const bent = fit(points({ curve: 0.0001, noise: 0.01 }));
    expect(bent.cpu.perSquare).toBeCloseTo(0.0001, 5);
    expect(curveAt(bent.cpu, 37.5) / (0.02 + 0.004 * 37.5 + 0.0001 * 37.5 ** 2)).toBeCloseTo(1, 1);
    expect(fit(points({ noise: 0 })).cpu.perSquare).toBeCloseTo(0, 9);
  });

  it('uses the scenario with the highest usage', () => {
    const checkout = points({ scenario: 'checkout', slope: 0.009, seed: 2 });
    expect(fit([...points(), ...checkout]).scenario).toBe('checkout');
  });

  it('excludes overloaded replicas', () => {
    const slow = points({ noise: 0 }).map((point) => ({ ...point, latencyMs: point.load > 20 ? 900 : 60 }));
    expect(fit(slow).maxLoad).toBe(18.75);
  });

  it.each([
    ['nothing', [], 'no experiments'],
    ['two levels', points().filter(({ users }) => users <= 10), 'browsing has 2 levels of load, 3 are required'],
    ['no load at all', points().map((each) => ({ ...each, load: 0 })), 'browsing has 0 levels of load, 3 are required'],
    [
      'few that differ much',
      points({ noise: 0.08 }).filter(({ users, replicas }) => users < 30 && replicas === 1),
      /^browsing: 3 experiments are too few for a 95 % bound: the margin would be \d+\.\d, the maximum is 2$/,
    ],
    ['chance alone', points({ noise: 1.2 }), /^browsing: the mean error at a level of load left out is \d+ %$/],
  ])('gives no model for %s', (_, given, reason) => {
    expect(fitCapacity(given, 0.95)).toEqual(typeof reason === 'string' ? reason : expect.stringMatching(reason));
  });

  it('is finite and never negative for any measurements', () => {
    const size = fc.double({ min: 0, max: 1e12, noNaN: true });
    const point = fc.record({ load: size, cpu: size, memory: size, users: fc.integer({ min: 1, max: 5 }) });
    fc.assert(
      fc.property(fc.array(point, { maxLength: 12 }), (some) => {
        const given = some.map(
          (each, i): LoadPoint => ({
            id: String(i),
            scenario: 's',
            replicas: 1,
            grade: 'high',
            loadFrom: 'load_test',
            latencyMs: null,
            ...each,
          }),
        );
        const capacity = fitCapacity(given, 0.95);
        if (typeof capacity === 'string') return;
        const { cpu, memory } = capacity;
        for (const value of [cpu, memory].flatMap((each) => [
          each.base,
          each.perRequest,
          each.perSquare,
          marginAt(each, 1),
        ])) {
          expect(Number.isFinite(value)).toBe(true);
          expect(value).toBeGreaterThanOrEqual(0);
        }
      }),
    );
  });
});

describe('planFor', () => {
  const capacity = fit(points({ noise: 0 }));
  it.each([
    [10, 1, 1],
    // The plan includes headroom of 20 %.
    [31.25, 1, 1],
    [31.3, 1, 2],
    [375, 1, 12],
    [10, 3, 3],
    [0, 1, 1],
  ])('plans for %f requests per second, at least %i: %i replicas', (demand, least, replicas) => {
    const planned = planFor(capacity, demand, null, least);
    expect(planned.replicas).toBe(replicas);
    // No replica gets more load than tested.
    expect(planned.load).toBeLessThanOrEqual(37.5);
    expect(planned.cpu).toBeCloseTo(0.02 + 0.004 * planned.load, 6);
  });
});
