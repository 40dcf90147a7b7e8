import { describe, expect, it } from 'vitest';
import { normal, seededRandom } from '#kernel/rng.ts';
import { dayMs, hourMs } from '#services/analytics/storage/reader.ts';
import { analyticsIn, iso } from '../../../support/analytics.ts';

describe('anomalies', () => {
  const begun = Date.UTC(2026, 10, 20) - 4 * dayMs;
  /** Five-minute values of four days, changed by `change`. */
  const days = (change: (value: number, i: number) => number, resource = 'node-1') => {
    const random = seededRandom(11);
    return Array.from({ length: 4 * 288 }, (_, i) => ({
      metric: 'cpu',
      resource,
      value: change(50 + 20 * Math.sin((2 * Math.PI * i) / 288) + normal(random), i),
      timestamp: iso(begun + i * 300_000),
    }));
  };
  const found = async (rows: object[], query: Record<string, string>) => {
    const { analytics } = analyticsIn();
    await analytics.record({ metrics: rows });
    return analytics.anomalies({ metric: 'cpu', ...query });
  };

  it('are found point by point, with a reason', async () => {
    const { anomalies, method } = await found(
      days((value, i) => (i === 1100 ? value + 30 : value)),
      {},
    );
    expect(method).toBe('calibrated');
    expect(anomalies.map(({ timestamp }) => timestamp)).toEqual([iso(begun + 1100 * 300_000)]);
    expect(anomalies[0]!.score).toBeGreaterThan(1);
    expect(anomalies[0]!.reason).toMatch(
      /^jump to \d+(\.\d)?, expected \d+(\.\d)?: less than once in a million points$/,
    );
  });

  it('are found relative to a month of history if points are rare', async () => {
    const random = seededRandom(8);
    const start = Date.UTC(2026, 10, 20) - 34 * dayMs;
    const rows = Array.from({ length: 34 * 4 }, (_, i) => ({
      metric: 'cpu',
      resource: 'node-1',
      value: 50 + 3 * normal(random) + (i === 34 * 4 - 2 ? 60 : 0),
      timestamp: iso(start + 6 * i * hourMs),
    }));
    const { anomalies } = await found(rows, {});
    expect(anomalies.map(({ timestamp }) => timestamp)).toEqual([iso(start + 6 * (34 * 4 - 2) * hourMs)]);
  });

  it('are not found in an ordinary day by any method except zscore', async () => {
    const rows = days((value) => value);
    for (const method of ['calibrated', 'esd']) expect((await found(rows, { method })).anomalies).toEqual([]);
  });

  it('are found by zscore in standard deviations; a constant series has none', async () => {
    const start = iso(begun);
    const spiked = await found(
      days((_, i) => (i === 700 ? 90 : 10 + (i % 2))),
      { threshold_stddevs: '3.0', start },
    );
    expect(spiked).toMatchObject({
      method: 'zscore',
      threshold: 3,
      anomalies: [{ value: 90, zscore: expect.closeTo(33, -1) }],
    });
    for (const method of ['zscore', 'esd', 'calibrated'])
      expect(
        (
          await found(
            days(() => 0.1),
            { method, start },
          )
        ).anomalies,
      ).toEqual([]);
  });

  it('are found by esd although there are many', async () => {
    const { anomalies } = await found(
      days((value, i) => (i > 900 && i < 908 ? value + 25 : value)),
      { method: 'esd', start: iso(begun) },
    );
    expect(anomalies.map(({ timestamp }) => timestamp)).toEqual(
      Array.from({ length: 7 }, (_, k) => iso(begun + (901 + k) * 300_000)),
    );
  });

  it('are distinguished by esd from trends, daily and weekly cycles', async () => {
    const random = seededRandom(15);
    const start = Date.UTC(2026, 9, 26);
    const odd = [100, 300, 401];
    const rows = Array.from({ length: 24 * 24 }, (_, i) => {
      const at = start + i * hourMs;
      const weekend = [0, 6].includes(new Date(at).getUTCDay()) ? -20 : 0;
      const usual = 100 + i / 5 + weekend + 15 * Math.sin((2 * Math.PI * i) / 24) + normal(random);
      const value = usual + (odd.includes(i) ? 14 : 0);
      return { metric: 'cpu', resource: 'node-1', value, timestamp: iso(at) };
    });
    const { anomalies } = await found(rows, { method: 'esd', start: iso(start) });
    expect(anomalies.map(({ timestamp }) => (Date.parse(timestamp) - start) / hourMs)).toEqual(odd);
    expect(anomalies[0]!.expected).toBeCloseTo(rows[100]!.value - 14, -1);
  });

  it('are found by peers in series that differ from the others', async () => {
    const rows = ['a', 'b', 'c', 'd', 'e', 'f'].flatMap((resource, k) =>
      days((value) => value + k / 10 + (resource === 'e' ? 12 : 0), resource),
    );
    const { anomalies } = await found(rows, { method: 'peers' });
    expect(anomalies.map(({ resource }) => resource)).toEqual(['e']);
    expect(anomalies[0]!.reason).toMatch(/^differs from its peers for 100 % of the time: /);
    expect((await found(rows.slice(0, 2000), { method: 'peers' })).notes).toEqual([
      '2 series are too few for a comparison: at least five are required',
    ]);
  });

  it('are not reported without enough data, with the reason', async () => {
    expect(await found(days((value) => value).slice(0, 2), {})).toMatchObject({
      series: 1,
      evaluated_series: 0,
      notes: ['cpu of node-1: too few points (2, at least 3 are required)'],
    });
  });
});

describe('analyses of a metric', () => {
  const begun = Date.UTC(2026, 10, 20) - 3 * dayMs;
  const hours = (value: (i: number) => number) =>
    Array.from({ length: 72 }, (_, i) => ({
      metric: 'disk',
      resource: 'a',
      value: value(i),
      timestamp: iso(begun + i * hourMs),
    }));

  it('include a trend in units per minute and per day', async () => {
    const { analytics } = analyticsIn();
    await analytics.record({ metrics: hours((i) => 100 + 2 * i + (i % 3)) });
    const trend = await analytics.trend({ metric_type: 'disk', time_window: '259200' });
    expect(trend).toMatchObject({ direction: 'INCREASING', levels: 72, step_seconds: 3600 });
    expect(trend.slope_per_day).toBeCloseTo(48, 0);
    expect(trend.slope!).toBeCloseTo(48 / 1440, 3);
    expect(trend.magnitude).toBeCloseTo(2 * 71, 0);
    expect(await analytics.trend({ metric: 'nothing' })).toMatchObject({
      direction: 'INSUFFICIENT_DATA',
      slope: null,
      levels: 0,
    });
  });

  it('include a smoothed forecast with interval and backtest', async () => {
    const { analytics } = analyticsIn();
    await analytics.record({ metrics: hours((i) => 100 + 2 * i) });
    const answer = await analytics.forecast({ metric: 'disk', method: 'exponential_smoothing', periods_ahead: '5' });
    for (const [h, value] of answer.forecast.entries()) expect(value).toBeCloseTo(244 + 2 * h, 3);
    expect(answer.points[0]!.timestamp).toBe(iso(begun + 72 * hourMs));
    expect(answer.backtest!.mae).toBeLessThan(0.01);
    await expect(analytics.forecast({ metric: 'nothing' })).rejects.toMatchObject({ code: 'not_found' });
  });

  it('include a baseline, overall and by hour of the week', async () => {
    const { analytics } = analyticsIn();
    await analytics.record({ metrics: hours((i) => (i % 24 === 5 ? 500 : 10)) });
    const { baselines } = await analytics.baselines({});
    expect(baselines).toMatchObject([{ metric: 'disk', hours: 72, median: 10, mad: 0 }]);
    // 17 to 19 November 2026 are Tuesday to Thursday.
    expect(baselines[0]!.hour_of_week.filter(({ median }) => median === 500).map(({ hour }) => hour)).toEqual([
      29, 53, 77,
    ]);
  });

  it('include a summary with the share of series without anomalies', async () => {
    const { analytics, now } = analyticsIn();
    expect(await analytics.summary({})).toMatchObject({
      summary: 'no points were recorded in the last 3600 s',
      health_score: null,
    });
    const random = seededRandom(2);
    const rows = (resource: string, spike: number) =>
      Array.from({ length: 600 }, (_, i) => ({
        metric: 'cpu',
        resource,
        value: 50 + normal(random) + (i === 595 ? spike : 0),
        timestamp: iso(now - (600 - i) * 60_000),
      }));
    await analytics.record({ metrics: [...rows('a', 0), ...rows('b', 60)] });
    const answer = await analytics.summary({});
    expect(answer).toMatchObject({
      summary: '1 metric of 2 series in the last 3600 s, 1 anomaly in 1 of them',
      health_score: 50,
      metrics: [{ metric: 'cpu', series: 2, points: 120 }],
      anomalies: [{ resource: 'b' }],
      trends: { cpu: { direction: 'STABLE' } },
    });
  });

  it('reads the points of the most recent series only, however many there are', async () => {
    const { analytics, now } = analyticsIn(undefined, 10_000);
    const rows = Array.from({ length: 2_500 }, (_, i) => ({
      metric: 'many',
      resource: `r${i}`,
      value: i,
      timestamp: iso(now - (i < 2_400 ? 60_000 + i : 2 * 3_600_000)),
    }));
    for (let i = 0; i < rows.length; i += 500) await analytics.record({ metrics: rows.slice(i, i + 500) });
    const { metrics, notes } = await analytics.summary({});
    expect(metrics).toMatchObject([{ metric: 'many', series: 2_000, min: 0, max: 1_999 }]);
    expect(notes[0]).toBe('2400 series may have had points; the 2000 most recent are included');
  });
});
