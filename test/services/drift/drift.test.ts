import { describe, expect, it } from 'vitest';
import { createDrift } from '../../../services/drift/drift.ts';
import { buildSnapshot } from '../../../services/registry/snapshot.ts';
import type { MetricPoint } from '../../../services/registry/source.ts';
import { notFound } from '../../../src/kernel/errors.ts';
import { runRow, versionRow } from '../../support/rows.ts';
import { aliasTable, handClock } from '../../support/sources.ts';

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

function driftOver(points: MetricPoint[], logged: MetricPoint[] = []) {
  const asked: unknown[] = [];
  const reading = <T>(value: T) => ({ value, ageMs: 0, stale: false });
  const drift = createDrift({
    clock,
    points: {
      provenance: () => ({ ageMs: 0, stale: false }),
      model: async (name) => {
        const model = models.get(name);
        if (!model) throw notFound(`Model ${name} not found`);
        return model;
      },
      history: async (runIds, metrics) => {
        asked.push([runIds, metrics]);
        return reading(points);
      },
      loggedModel: async (id) => {
        asked.push(id);
        return reading(logged);
      },
    },
  });
  return { asked, ofModel: async (days?: string) => (await drift.ofModel('model', days)).value };
}

describe('drift', () => {
  it('shows values measured after training, the last of each UTC day, and fills nothing in', async () => {
    const { ofModel, asked } = driftOver([
      point('accuracy', 0.9, daysAgo(3, 1)),
      point('accuracy', 0.8, daysAgo(3, 2)),
      point('f1', 0.7, daysAgo(3, 1)),
      point('accuracy', null, daysAgo(1)),
      point('accuracy', 0.99, daysAgo(45)),
      point('accuracy', 0.1, daysAgo(39)),
    ]);
    const [first] = await ofModel('30');
    expect(first).toEqual({
      version: '1',
      stage: 'Production',
      aliases: [],
      status: 'not_assessed',
      reason: '4 values of 2 metrics measured after training in the last 30 days',
      metrics_over_time: [
        { date: '2026-11-17T00:00:00.000Z', accuracy: 0.8, f1: 0.7 },
        { date: '2026-11-19T00:00:00.000Z', accuracy: null },
      ],
    });
    expect(asked[0]).toEqual([['r1'], ['accuracy', 'f1']]);
  });

  it('a learning curve is not drift: points within the run are not shown, whatever the window', async () => {
    const { ofModel } = driftOver([point('accuracy', 0.99, daysAgo(45))]);
    expect((await ofModel('3650'))[0]).toMatchObject({ status: 'no_data', metrics_over_time: [] });
  });

  it('says no_data with the reason where MLflow has nothing', async () => {
    const answer = await driftOver([]).ofModel();
    expect(answer.map((item) => item.status)).toEqual(['no_data', 'no_data', 'no_data', 'no_data']);
    expect(answer[0]?.reason).toBe('MLflow has no metric of this version measured after training in the last 30 days');
    expect(answer[3]?.reason).toBe('MLflow has no metric of this version that was measured after training');
  });

  it('values of the logged model count when they come from another run, or after the end of its own', async () => {
    const { ofModel } = driftOver(
      [],
      [point('accuracy', 0.95, daysAgo(5, 1), 'r3'), point('accuracy', 0.8, daysAgo(2), 'evaluation', 'holdout')],
    );
    const third = (await ofModel('30'))[2];
    expect(third).toMatchObject({ status: 'not_assessed', metrics_over_time: [{ accuracy: 0.8 }] });
  });

  it('values from the future are not shown', async () => {
    expect((await driftOver([point('accuracy', 0.5, daysAgo(-2))]).ofModel())[0]?.status).toBe('no_data');
  });

  it.each(['0', '-1', '3651', '1.5', 'x', ''])('days=%s is refused', async (days) => {
    await expect(driftOver([]).ofModel(days)).rejects.toThrow('days must be a whole number from 1 to 3650');
  });
});
