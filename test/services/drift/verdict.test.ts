import { describe, expect, it } from 'vitest';
import { finish } from '#services/drift/verdict.ts';
import { daily, daysAgo, driftOver, point } from '../../support/drift.ts';
import { noSignal } from '../../support/sources.ts';

describe('the drift verdict', () => {
  it('is drift for a fall, with time, size and tests', async () => {
    const late = daily(39, (i) => (i < 25 ? 0.94 : 0.9));
    const [first] = await driftOver({ late }).ofModel('3');
    expect(first).toMatchObject({
      status: 'drift',
      reason: expect.stringMatching(/^accuracy fell from 0\.9\d+ to 0\.[89]\d*$/),
    });
    expect(first?.metrics_over_time).toHaveLength(3);
    expect(first?.assessment[0]).toMatchObject({
      direction: 'higher',
      baseline: { n: 19, source: 'first_points' },
      n_points: 39,
      span_days: 38,
      tests: [
        { name: 'mann_kendall', flag: true },
        { name: 'cusum', flag: true },
      ],
      change_point: expect.stringMatching(/^2026-11-0[56]/),
    });
  });

  it('is stable for a rise of a metric that is better when higher', async () => {
    const [first] = await driftOver({ late: daily(39, (i) => (i < 25 ? 0.9 : 0.94)) }).ofModel();
    expect(first?.status).toBe('stable');
  });

  it('is stable for no change and for a change too small to matter', async () => {
    const [still] = await driftOver({ late: daily(39, () => 0.9) }).ofModel();
    expect(still).toMatchObject({ status: 'stable', reason: 'no significant change' });
    const [small] = await driftOver({ late: daily(39, (i) => (i < 20 ? 9 : 8.95), 'revenue_score') }).ofModel();
    expect(small).toMatchObject({ status: 'stable', reason: 'change too small to matter' });
  });

  it.each([
    ['zeros, then larger values', (i: number) => (i < 20 ? 0 : 0.05), 'error_rate', 'drift'],
    ['zeros, then negligible values', (i: number) => (i < 20 ? 0 : 1e-15), 'error_rate', 'stable'],
    ['zeros with a few larger values', (i: number) => (i % 13 === 5 ? 3 : 0), 'errors_total', 'stable'],
    ['constant values', () => 0.9, 'accuracy', 'stable'],
  ])('evaluates a series of %s', async (_what, value, metric, status) => {
    const late = Array.from({ length: 39 }, (_, i) => point(metric, value(i), daysAgo(39 - i, 1)));
    expect((await driftOver({ late }).ofModel())[0]?.status).toBe(status);
  });

  it('counts changes in both directions if the better direction is unknown', async () => {
    const [first] = await driftOver({ late: daily(39, (i) => (i < 25 ? 0.5 : 0.6), 'oddness') }).ofModel();
    expect(first?.status).toBe('drift');
    expect(first?.assessment[0]?.caveats).toContain('the better direction is unknown, so every change counts');
  });

  it('is insufficient_data below eight days', async () => {
    const [first] = await driftOver({ late: daily(7, (i) => 0.9 - i * 0.1) }).ofModel();
    expect(first).toMatchObject({
      status: 'insufficient_data',
      reason: '7 days have values; 8 are required for a verdict',
    });
    expect(first?.assessment[0]).toMatchObject({
      p: null,
      tests: [],
      change: expect.any(Number),
      change_pct: expect.any(Number),
    });
  });

  it('is computed by dataset', async () => {
    const onA = daily(20, () => 0.9).map((item) => ({ ...item, runId: 'e', dataset: 'a' }));
    const onB = daily(20, () => 0.5).map((item) => ({ ...item, runId: 'e', dataset: 'b' }));
    const third = (await driftOver({ logged: [...onA, ...onB] }).ofModel())[2];
    expect(third?.assessment).toMatchObject([
      { dataset: 'a', status: 'stable', n_points: 20 },
      { dataset: 'b', status: 'stable', n_points: 20 },
    ]);
  });

  it('is not drift for autocorrelated values, with a caveat', async () => {
    const [first] = await driftOver({ late: daily(39, (i) => 0.9 + 0.05 * Math.sin(i / 6)) }).ofModel();
    expect(first?.status).not.toBe('drift');
    expect(first?.assessment[0]?.caveats).toEqual([
      expect.stringMatching(/^values are autocorrelated \(0\.\d+\): .* p-value 200 times smaller$/),
    ]);
  });

  it('is drift for a long slow fall, although it is autocorrelated', async () => {
    const [first] = await driftOver({ late: daily(39, (i) => (i < 15 ? 0.94 : 0.94 - 0.004 * (i - 15))) }).ofModel();
    expect(first?.status).toBe('drift');
  });

  it('has the same false alarm rate for many series as for one', () => {
    const draft = (p: number) => ({ assessment: { p } as never, isRelevant: true, evidenceFactor: 1, summary: 'x' });
    const levels = { warningP: 0.05, driftP: 0.02 };
    expect(finish([draft(0.01)], [], levels)[0]).toMatchObject({ status: 'drift', p_adjusted: 0.01 });
    expect(
      finish(
        [draft(0.01)],
        Array.from({ length: 49 }, () => 0.5),
        levels,
      )[0],
    ).toMatchObject({ status: 'warning', p_adjusted: 0.5 });
    expect(
      finish(
        [draft(0.0001)],
        Array.from({ length: 49 }, () => 0.5),
        levels,
      )[0],
    ).toMatchObject({ status: 'drift' });
  });

  it('is computed for monitored versions by a background job and in the overview', async () => {
    const { drift } = driftOver({ late: daily(39, (i) => (i < 25 ? 0.94 : 0.9)) });
    expect(await drift.overview()).toMatchObject({ assessed_at: null, not_assessed: 1, versions: [] });
    await drift.sweep(noSignal);
    expect(await drift.overview()).toMatchObject({
      not_assessed: 0,
      assessed_at: '2026-11-20T12:00:00.000Z',
      counts: { drift: 1, stable: 0 },
      versions: [{ name: 'model', version: '1', status: 'drift' }],
    });
  });
});
