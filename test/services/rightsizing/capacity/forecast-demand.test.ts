import { describe, expect, it } from 'vitest';
import { normal, seededRandom } from '#kernel/rng.ts';
import { dayByForecast, type Forecaster } from '#services/rightsizing/capacity/forecast-demand.ts';
import { confidenceOf } from '#services/rightsizing/sizers/coverage.ts';
import { day, hour } from '#services/rightsizing/usage.ts';
import { testTower } from '../../../support/tower.ts';

const stepMs = 600_000;

/** Traffic with a daily cycle and weekends, with 10 % noise. */
function traffic(days: number): Float64Array {
  const random = seededRandom(4);
  return Float64Array.from({ length: (days * day) / stepMs }, (_, i) => {
    const ms = i * stepMs;
    const weekend = Math.floor(ms / day) % 7 >= 5 ? 0.6 : 1;
    return weekend * (60 + 30 * Math.sin((2 * Math.PI * ms) / day)) * Math.exp(0.1 * normal(random));
  });
}

/** Yesterday's values; a standard deviation of ten. */
const asYesterday: Forecaster = {
  forecast: async ({ values, horizon }) =>
    Promise.resolve({
      forecast: values.slice(-horizon).map((value, i) => ({
        step: i + 1,
        timestamp: null,
        value: value ?? 0,
        lower: null,
        upper: (value ?? 0) + 16.449,
      })),
    } as Awaited<ReturnType<Forecaster['forecast']>>),
};

describe('dayByForecast', () => {
  it('returns the level that all hours together exceed in the stated share', async () => {
    const values = new Float64Array((8 * day) / stepMs).fill(100);
    const { level, confidences } = (await dayByForecast(asYesterday, { startMs: 0, stepMs, values }, 0.05))!;
    expect(confidenceOf(confidences)).toBeCloseTo((1 + 20 * 0.82) / 21, 9);
    // The same in all hours: 1.645 standard deviations above; the day before was below it throughout, which subtracts
    // 0.5 × 0.05.
    expect(level).toBeCloseTo(116.449 * Math.exp(-0.025), 1);
  });

  it('is raised after undercoverage, and lowered after overcoverage', async () => {
    const values = new Float64Array((10 * day) / stepMs).fill(100);
    const spiky = values.map((value, i) => (i >= (7 * day) / stepMs && i % 4 === 0 ? 200 : value));
    const flat = (await dayByForecast(asYesterday, { startMs: 0, stepMs, values }, 0.05))!;
    const raised = (await dayByForecast(
      { forecast: async (q) => asYesterday.forecast({ ...q, values: q.values.map(() => 100) }) },
      { startMs: 0, stepMs, values: spiky },
      0.05,
    ))!;
    expect(flat.level).toBeLessThan(116);
    expect(raised.level).toBeGreaterThan(125);
    expect(confidenceOf(raised.confidences)).toBeLessThan(confidenceOf(flat.confidences));
  });

  it('returns null with less than a week, or without uncertainty', async () => {
    const values = traffic(6);
    expect(await dayByForecast(asYesterday, { startMs: 0, stepMs, values }, 0.05)).toBeNull();
    const none = new Float64Array((9 * day) / stepMs).fill(Number.NaN);
    expect(await dayByForecast(asYesterday, { startMs: 0, stepMs, values: none }, 0.05)).toBeNull();
    const unsure: Forecaster = {
      forecast: async (question) => {
        const answer = await asYesterday.forecast(question);
        return { ...answer, forecast: answer.forecast.map((each) => ({ ...each, upper: null })) };
      },
    };
    expect(await dayByForecast(unsure, { startMs: 0, stepMs, values: traffic(9) }, 0.05)).toBeNull();
  });

  it('is calibrated on traffic with daily and weekly cycles', {
    timeout: 60_000,
  }, async () => {
    const { services } = await testTower();
    const values = traffic(24);
    const perDay = day / stepMs;
    let above = 0;
    for (let at = 20 * perDay; at < values.length; at += perDay) {
      const rate = { startMs: 0, stepMs, values: values.subarray(at - 12 * perDay, at) };
      const { level } = (await dayByForecast(services.forecast, rate, 0.05))!;
      expect(level).toBeGreaterThan(50);
      above += values.subarray(at, at + perDay).filter((value) => value > level).length;
    }
    const share = above / (values.length - 20 * perDay);
    expect(share).toBeLessThan(0.12);
    expect(share).toBeGreaterThan(0.005);
    expect(perDay * stepMs).toBe(24 * hour);
  });
});
