import { describe, expect, it } from 'vitest';
import { finish } from '#services/drift/verdict.ts';
import { daily, daysAgo, driftOver, point } from '../../support/drift.ts';
import { noSignal } from '../../support/sources.ts';

describe('what is thought of it', () => {
  it('a fall is drift, with its moment, its size and the tests', async () => {
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

  it('a rise of what should rise is not', async () => {
    const [first] = await driftOver({ late: daily(39, (i) => (i < 25 ? 0.9 : 0.94)) }).ofModel();
    expect(first?.status).toBe('stable');
  });

  it('what stays is stable, and so is a change too small to matter', async () => {
    const [still] = await driftOver({ late: daily(39, () => 0.9) }).ofModel();
    expect(still).toMatchObject({ status: 'stable', reason: 'no change beyond chance' });
    const [small] = await driftOver({ late: daily(39, (i) => (i < 20 ? 9 : 8.95), 'revenue_score') }).ofModel();
    expect(small).toMatchObject({ status: 'stable', reason: 'a change too small to matter' });
  });

  it.each([
    ['zeros and then more', (i: number) => (i < 20 ? 0 : 0.05), 'error_rate', 'drift'],
    ['zeros and then nothing to speak of', (i: number) => (i < 20 ? 0 : 1e-15), 'error_rate', 'stable'],
    ['zeros with a few others', (i: number) => (i % 13 === 5 ? 3 : 0), 'errors_total', 'stable'],
    ['the same value for ever', () => 0.9, 'accuracy', 'stable'],
  ])('%s', async (_what, value, metric, status) => {
    const late = Array.from({ length: 39 }, (_, i) => point(metric, value(i), daysAgo(39 - i, 1)));
    expect((await driftOver({ late }).ofModel())[0]?.status).toBe(status);
  });

  it('a metric whose direction nobody knows is watched both ways, and that is said', async () => {
    const [first] = await driftOver({ late: daily(39, (i) => (i < 25 ? 0.5 : 0.6), 'oddness') }).ofModel();
    expect(first?.status).toBe('drift');
    expect(first?.assessment[0]?.caveats).toContain('whether more of it is better is not known, so any change counts');
  });

  it('fewer than eight days give no verdict, and what is needed', async () => {
    const [first] = await driftOver({ late: daily(7, (i) => 0.9 - i * 0.1) }).ofModel();
    expect(first).toMatchObject({
      status: 'insufficient_data',
      reason: '7 days have a value; 8 are needed for a verdict',
    });
    expect(first?.assessment[0]).toMatchObject({
      p: null,
      tests: [],
      change: expect.any(Number),
      change_pct: expect.any(Number),
    });
  });

  it('datasets are judged apart', async () => {
    const onA = daily(20, () => 0.9).map((item) => ({ ...item, runId: 'e', dataset: 'a' }));
    const onB = daily(20, () => 0.5).map((item) => ({ ...item, runId: 'e', dataset: 'b' }));
    const third = (await driftOver({ logged: [...onA, ...onB] }).ofModel())[2];
    expect(third?.assessment).toMatchObject([
      { dataset: 'a', status: 'stable', n_points: 20 },
      { dataset: 'b', status: 'stable', n_points: 20 },
    ]);
  });

  it('values that come and go in waves are no drift, and why', async () => {
    const [first] = await driftOver({ late: daily(39, (i) => 0.9 + 0.05 * Math.sin(i / 6)) }).ofModel();
    expect(first?.status).not.toBe('drift');
    expect(first?.assessment[0]?.caveats).toEqual([
      expect.stringMatching(
        /^values hang together from day to day \(0\.\d+\): the tests are widened for it, and drift takes 200 times stronger evidence$/,
      ),
    ]);
  });

  it('a long slow fall is drift, although it looks like values that hang together', async () => {
    const [first] = await driftOver({ late: daily(39, (i) => (i < 15 ? 0.94 : 0.94 - 0.004 * (i - 15))) }).ofModel();
    expect(first?.status).toBe('drift');
  });

  it('many series make no more false alarms than one', () => {
    const draft = (p: number) => ({ assessment: { p } as never, matters: true, strictness: 1, told: 'x' });
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

  it('a sweep looks at the monitored versions, and what it found is told', async () => {
    const { drift } = driftOver({ late: daily(39, (i) => (i < 25 ? 0.94 : 0.9)) });
    expect(drift.overview()).toMatchObject({ assessed_at: null, versions: [] });
    await drift.sweep(noSignal);
    expect(drift.overview()).toMatchObject({
      assessed_at: '2026-11-20T12:00:00.000Z',
      counts: { drift: 1, stable: 0 },
      versions: [{ name: 'model', version: '1', status: 'drift' }],
    });
  });
});
