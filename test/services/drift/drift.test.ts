import { describe, expect, it } from 'vitest';
import { createDrift } from '../../../services/drift/drift.ts';
import { finish } from '../../../services/drift/verdict.ts';
import { buildSnapshot } from '../../../services/registry/snapshot.ts';
import type { MetricPoint, Run } from '../../../services/registry/source.ts';
import { notFound, unavailable } from '../../../src/kernel/errors.ts';
import { normal, seededRandom } from '../../../src/kernel/rng.ts';
import { openStore } from '../../../src/store/store.ts';
import { whenTestIsOver } from '../../support/cleanup.ts';
import { runRow, versionRow } from '../../support/rows.ts';
import { aliasTable, handClock, noSignal } from '../../support/sources.ts';
import { temporaryFolder } from '../../support/tower.ts';

const day = 86_400_000;
const clock = handClock(Date.UTC(2026, 10, 20, 12));
const daysAgo = (days: number, hours = 0) => clock.now() - days * day + hours * 3_600_000;
const point = (
  metric: string,
  value: number | null,
  at: number,
  runId = 'r1',
  dataset: string | null = null,
): MetricPoint => ({ metric, value, at, step: 0, runId, dataset });

const { models } = await buildSnapshot(
  {
    experiments: [],
    models: [],
    versions: [
      versionRow({ version: '1', runId: 'r1', currentStage: 'Production' }),
      versionRow({ version: '2', runId: 'r2' }),
      versionRow({ version: '3', runId: 'r3', source: 'models:/m-abc' }),
      versionRow({ version: '4' }),
    ],
    runs: [
      runRow({ runId: 'r1', startedAt: daysAgo(50), endedAt: daysAgo(40), lateMetrics: ['accuracy', 'f1'] }),
      runRow({ runId: 'r2', startedAt: daysAgo(5), endedAt: daysAgo(4) }),
      runRow({ runId: 'r3', startedAt: daysAgo(5), endedAt: daysAgo(4) }),
    ],
    serverVersion: null,
  },
  0,
  aliasTable,
);

const evaluation = (runId: string, version: string, metrics: Record<string, number>): Run => ({
  ...runRow({ runId, endedAt: daysAgo(2) }),
  metrics,
  name: '',
  params: {},
  tags: { model_name: 'model', model_version: version },
});

type Given = { late?: MetricPoint[]; logged?: MetricPoint[]; runs?: Run[]; noRuns?: boolean };

function driftOver({ late = [], logged = [], runs = [], noRuns = false }: Given = {}) {
  const asked: unknown[] = [];
  const store = openStore(temporaryFolder());
  whenTestIsOver(() => store.close());
  const reading = <T>(value: T) => ({ value, ageMs: 0, stale: false });
  const drift = createDrift({
    clock,
    store,
    monitored: async () => new Set(['model\n1']),
    rules: { directions: { higher: new Set(), lower: new Set() }, minChangePct: 2, minChange: 0.01, warningP: 0.05 },
    levels: { warningP: 0.05, driftP: 0.02 },
    evaluationTags: { model: 'model_name', version: 'model_version' },
    points: {
      provenance: () => ({ ageMs: 0, stale: false, origin: 'mlflow' }),
      model: async (name) => {
        const model = models.get(name);
        if (!model) throw notFound(`Model ${name} not found`);
        return model;
      },
      history: async (runIds, metrics) => {
        asked.push([runIds, metrics]);
        return reading(late);
      },
      loggedModel: async (id) => {
        asked.push(id);
        return reading(logged);
      },
      taggedRuns: async (tags) => {
        asked.push(tags);
        if (noRuns) throw unavailable('MLflow is down');
        return reading(runs);
      },
    },
  });
  const answer = (days?: string) => drift.ofModel('model', days);
  return { asked, drift, answer, ofModel: async (days?: string) => (await answer(days)).value };
}

/** A value a day from `from` days ago on, `value(i)` with a little noise. */
const daily = (from: number, value: (i: number) => number, metric = 'accuracy'): MetricPoint[] => {
  const random = seededRandom(11);
  return Array.from({ length: from }, (_, i) => point(metric, value(i) + 0.004 * normal(random), daysAgo(from - i, 1)));
};

describe('what is shown', () => {
  it('values measured after training, the last of each UTC day, with nothing filled in', async () => {
    const { ofModel, asked } = driftOver({
      late: [
        point('accuracy', 0.9, daysAgo(3, 1)),
        point('accuracy', 0.8, daysAgo(3, 2)),
        point('f1', 0.7, daysAgo(3, 1)),
        point('accuracy', null, daysAgo(1)),
        point('accuracy', 0.99, daysAgo(45)),
        point('accuracy', 0.1, daysAgo(39)),
      ],
    });
    const [first] = await ofModel('30');
    expect(first).toMatchObject({
      version: '1',
      stage: 'Production',
      aliases: [],
      status: 'insufficient_data',
      metrics_over_time: [
        { date: '2026-11-17T00:00:00.000Z', accuracy: 0.8, f1: 0.7 },
        { date: '2026-11-19T00:00:00.000Z', accuracy: null },
      ],
    });
    expect(first?.points.map(({ metric, value, source, phase }) => [metric, value, source, phase])).toEqual([
      ['accuracy', 0.9, 'own_run', 'production'],
      ['f1', 0.7, 'own_run', 'production'],
      ['accuracy', 0.8, 'own_run', 'production'],
      ['accuracy', null, 'own_run', 'production'],
    ]);
    expect(asked).toContainEqual([['r1'], ['accuracy', 'f1']]);
  });

  it('a learning curve is not drift: points within the run are not shown, whatever the window', async () => {
    const { ofModel } = driftOver({ late: [point('accuracy', 0.99, daysAgo(45))] });
    expect((await ofModel('3650'))[0]).toMatchObject({ status: 'no_data', metrics_over_time: [], assessment: [] });
  });

  it('says no_data where nothing was measured', async () => {
    const answer = await driftOver().ofModel();
    expect(answer.map((item) => item.status)).toEqual(['no_data', 'no_data', 'no_data', 'no_data']);
    expect(answer[3]?.reason).toBe('nothing was measured of this version after its training');
  });

  it('values of a logged model say their dataset; those of its own training are shown as such and not judged', async () => {
    const { ofModel } = driftOver({
      logged: [
        point('accuracy', 0.95, daysAgo(5, 1), 'r3'),
        point('accuracy', 0.8, daysAgo(2), 'evaluation', 'holdout'),
      ],
    });
    const third = (await ofModel('30'))[2];
    expect(third?.metrics_over_time).toEqual([{ date: '2026-11-18T00:00:00.000Z', accuracy: 0.8 }]);
    expect(third?.points).toMatchObject([
      { value: 0.95, source: 'logged_model', phase: 'training', dataset: null },
      { value: 0.8, source: 'logged_model', phase: 'evaluation', dataset: 'holdout' },
    ]);
    expect(third?.assessment).toMatchObject([{ metric: 'accuracy', dataset: 'holdout', n_points: 1 }]);
  });

  it('runs that evaluate a version count, at their end', async () => {
    const { ofModel, asked } = driftOver({
      runs: [evaluation('e1', '2', { accuracy: 0.7 }), evaluation('e2', '9', { accuracy: 0.1 })],
    });
    const second = (await ofModel())[1];
    expect(second?.points).toMatchObject([{ value: 0.7, source: 'evaluation_run', phase: 'evaluation', run_id: 'e1' }]);
    expect(asked).toContainEqual({ model_name: 'model' });
  });

  it('goes on without them while MLflow is down, and is called stale', async () => {
    const { answer } = driftOver({ noRuns: true, late: [point('accuracy', 0.9, daysAgo(3))] });
    const { value, stale } = await answer();
    expect(stale).toBe(true);
    expect(value[0]?.points).toHaveLength(1);
  });

  it('values from the future are not shown', async () => {
    expect((await driftOver({ late: [point('accuracy', 0.5, daysAgo(-2))] }).ofModel())[0]?.status).toBe('no_data');
  });

  it.each(['0', '-1', '3651', '1.5', 'x', ''])('days=%s is refused', async (days) => {
    await expect(driftOver().ofModel(days)).rejects.toThrow('days must be a whole number from 1 to 3650');
  });
});

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
