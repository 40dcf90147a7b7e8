import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { normal, seededRandom } from '#kernel/rng.ts';
import { changepoints } from '#services/analytics/analysis/changepoints.ts';
import { type Level, trendOf } from '#services/analytics/analysis/trend.ts';
import { dayMs, hourMs } from '#services/analytics/storage/reader.ts';

const start = Date.UTC(2026, 10, 1);
const hourly = (values: number[]): Level[] => values.map((value, i) => ({ at: start + i * hourMs, value }));
/** Autocorrelated noise. */
function wandering(n: number, correlation: number, seed: number): number[] {
  const random = seededRandom(seed);
  let last = normal(random);
  return Array.from({ length: n }, () => {
    last = correlation * last + Math.sqrt(1 - correlation ** 2) * normal(random);
    return last;
  });
}

describe('a trend beside a cycle', () => {
  const shapes: Record<string, (phase: number) => number> = {
    sine: (phase) => Math.sin(2 * Math.PI * phase),
    'working hours': (phase) => (phase > 0.35 && phase < 0.75 ? 1 : 0),
    'a nightly peak': (phase) => Math.exp(-(((phase - 0.1) / 0.06) ** 2)),
  };
  /** Directions at 48 phases of the cycle, of `span` days before each. */
  const directions = (
    span: number,
    period: number,
    stepMs: number,
    shape: (phase: number) => number,
    rise = 0,
    before = 0,
  ) =>
    Array.from({ length: 48 }, (_, k) => {
      const random = seededRandom(k + 1);
      const end = start + (k / 48) * period * dayMs;
      const n = Math.floor(((span + before) * dayMs) / stepMs);
      const levels = Array.from({ length: n }, (_, i): Level => {
        const at = Math.floor(end / stepMs) * stepMs - (n - i) * stepMs;
        return { at, value: 100 + 20 * shape((at / dayMs / period) % 1) + 3 * normal(random) + (rise * i) / n };
      });
      const own = Math.floor((span * dayMs) / stepMs);
      return trendOf(levels.slice(-own), stepMs, levels.slice(0, -own));
    });
  const falseShare = (found: { direction: string }[]) =>
    found.filter(({ direction }) => direction === 'INCREASING' || direction === 'DECREASING').length / found.length;

  it.each(Object.keys(shapes))('is not found in a day of a daily cycle, at any phase: %s', (name) => {
    const found = directions(1, 1, 300_000, shapes[name]!);
    expect(falseShare(found)).toBeLessThanOrEqual(0.05);
    const inconclusive = found.filter(({ direction }) => direction === 'INCONCLUSIVE');
    expect(inconclusive.length).toBeGreaterThan(5);
    expect(inconclusive[0]!.reason).toMatch(/^a daily cycle explains .* use a time range of at least 2 days$/);
  });

  it('is not found in a week of a weekly cycle', () => {
    const weekend = (phase: number) => (phase > 5 / 7 ? -1 : 0);
    expect(falseShare(directions(7, 7, hourMs, weekend))).toBeLessThanOrEqual(0.05);
  });

  it('is found in a day of noise, and in a day whose week before tells the daily cycle', () => {
    const flat = () => 0;
    expect(falseShare(directions(1, 1, 300_000, flat, 20))).toBeGreaterThan(0.9);
    const known = directions(1, 1, 900_000, shapes['sine']!, 0, 6);
    expect(falseShare(known)).toBeLessThanOrEqual(0.05);
    expect(known.every(({ deseasonalised }) => deseasonalised)).toBe(true);
    expect(known.some(({ direction }) => direction === 'INCONCLUSIVE')).toBe(false);
  });
});

describe('a trend of a few days', () => {
  it.each([2, 3, 4, 5, 7])('is rarely found in noise of %d days, with and without a daily cycle', (span) => {
    for (const height of [0, 20]) {
      const found = Array.from({ length: 100 }, (_, seed) => {
        const random = seededRandom(seed + 1);
        const values = Array.from(
          { length: 24 * span + 1 },
          (__, i) => 100 + height * Math.sin((2 * Math.PI * (i + seed)) / 24) + 3 * normal(random),
        );
        return trendOf(hourly(values), hourMs);
      });
      expect(found.filter(({ direction }) => direction !== 'STABLE').length).toBeLessThanOrEqual(9);
      expect(found.every(({ deseasonalised }) => deseasonalised)).toBe(true);
    }
  });
});

describe('a trend', () => {
  const share = (correlation: number, rise: number) => {
    const runs = Array.from({ length: 100 }, (_, seed) => {
      const noise = wandering(168, correlation, seed + 1);
      return trendOf(hourly(noise.map((value, i) => 10 + value + (rise * i) / 167)), hourMs).p! < 0.05;
    });
    return runs.filter(Boolean).length / runs.length;
  };

  it('is rarely found in autocorrelated noise', () => {
    expect(share(0, 0)).toBeLessThan(0.1);
    expect(share(0.6, 0)).toBeLessThan(0.13);
    expect(share(0.9, 0)).toBeLessThan(0.17);
  });

  it('is found if there is one', () => {
    expect(share(0.6, 1.5)).toBeGreaterThan(0.6);
  });

  it('is robust against outliers', () => {
    const random = seededRandom(4);
    const values = Array.from(
      { length: 168 },
      (_, i) => i / 167 + normal(random) / 5 + (i > 112 && i % 7 === 0 ? 20 : 0),
    );
    const { slope, direction } = trendOf(hourly(values), hourMs);
    expect(direction).toBe('INCREASING');
    expect(slope!.perDay * 7).toBeGreaterThan(0.8);
    expect(slope!.perDay * 7).toBeLessThan(1.6);
    expect(slope!.low).toBeLessThan(1.15 / 7);
    expect(slope!.high).toBeGreaterThan(1 / 7);
  });

  it("ignores half a daily cycle, and is found in a week's rise under a daily cycle", () => {
    const cycle = (i: number) => 20 * Math.sin((2 * Math.PI * i) / 24);
    const random = seededRandom(5);
    const noise = Array.from({ length: 108 }, () => normal(random));
    const flat = trendOf(hourly(noise.map((value, i) => 100 + cycle(i) + value)), hourMs);
    expect(flat).toMatchObject({ direction: 'STABLE', deseasonalised: true });
    const rising = trendOf(hourly(noise.map((value, i) => 100 + cycle(i) + value - (10 * i) / 107)), hourMs);
    expect(rising.direction).toBe('DECREASING');
    expect(rising.slope!.perDay).toBeCloseTo(-10 / (107 / 24), 0);
  });

  it('is STABLE if it is significant but too small to matter', () => {
    const values = Array.from({ length: 48 }, (_, i) => 1000 + i * 0.01);
    expect(trendOf(hourly(values), hourMs)).toMatchObject({ direction: 'STABLE', p: expect.closeTo(0, 6) });
  });

  it('is unknown for few values, and none for a constant series', () => {
    expect(trendOf(hourly([1, 2, 3]), hourMs)).toMatchObject({ direction: 'INSUFFICIENT_DATA', slope: null });
    expect(trendOf(hourly(Array.from({ length: 50 }, () => 7)), hourMs)).toMatchObject({
      direction: 'STABLE',
      slope: { perDay: 0 },
      changepoints: [],
    });
  });

  it('never contains NaN', () => {
    const value = fc.double({ min: -1e12, max: 1e12, noNaN: true });
    fc.assert(
      fc.property(fc.array(value, { maxLength: 90 }), (values) => {
        const { slope, p } = trendOf(hourly(values), hourMs);
        for (const figure of [slope?.perDay, slope?.low, slope?.high, p]) expect(Number.isNaN(figure)).toBe(false);
      }),
    );
  });
});

describe('change points', () => {
  const levels = (noise: number[], edges: number[], size: number) =>
    noise.map((value, i) => value + size * edges.filter((edge) => i >= edge).length);

  it('are found where the level changes', () => {
    const found = changepoints(levels(wandering(300, 0, 3), [100, 220], 4));
    expect(found.length).toBe(2);
    expect(Math.abs(found[0]! - 100)).toBeLessThanOrEqual(2);
    expect(Math.abs(found[1]! - 220)).toBeLessThanOrEqual(2);
  });

  it('are rarely found in noise, even if autocorrelated', () => {
    const count = (correlation: number) =>
      Array.from({ length: 40 }, (_, seed) => changepoints(wandering(300, correlation, seed + 50)).length).filter(
        Boolean,
      ).length;
    expect(count(0)).toBeLessThanOrEqual(4);
    expect(count(0.6)).toBeLessThanOrEqual(8);
  });

  it('are not found in a constant series, and once in a single step', () => {
    expect(changepoints(Array.from({ length: 60 }, () => 5))).toEqual([]);
    expect(changepoints([...Array.from({ length: 30 }, () => 5), ...Array.from({ length: 30 }, () => 9)])).toEqual([
      30,
    ]);
  });

  it('have times and levels in the answer', () => {
    const values = levels(wandering(60, 0, 9), [30], 10);
    const [change] = trendOf(
      values.map((value, i) => ({ at: start + i * dayMs, value })),
      dayMs,
    ).changepoints;
    expect(change!.at).toBe(start + 30 * dayMs);
    expect(Math.abs(change!.after - change!.before - 10)).toBeLessThan(1);
  });
});
