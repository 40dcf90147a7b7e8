import { describe, expect, it } from 'vitest';
import { daysAgo, driftOver, evaluation, point } from '../../support/drift.ts';

describe('drift of a model', () => {
  it('shows the last value of each UTC day after training, without filling gaps', async () => {
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

  it('ignores a learning curve: points within the run are never evaluated', async () => {
    const { ofModel } = driftOver({ late: [point('accuracy', 0.99, daysAgo(45))] });
    expect((await ofModel('3650'))[0]).toMatchObject({ status: 'no_data', metrics_over_time: [], assessment: [] });
  });

  it('is no_data without values after training', async () => {
    const answer = await driftOver().ofModel();
    expect(answer.map((item) => item.status)).toEqual(['no_data', 'no_data', 'no_data', 'no_data']);
    expect(answer[3]?.reason).toBe('nothing was measured for this version after its training');
  });

  it("shows the dataset of logged models' values, and marks values from training", async () => {
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

  it('includes runs that evaluate a version, at their end time', async () => {
    const { ofModel, asked } = driftOver({
      runs: [evaluation('e1', '2', { accuracy: 0.7 }), evaluation('e2', '9', { accuracy: 0.1 })],
    });
    const second = (await ofModel())[1];
    expect(second?.points).toMatchObject([{ value: 0.7, source: 'evaluation_run', phase: 'evaluation', run_id: 'e1' }]);
    expect(asked).toContainEqual({ model_name: 'model' });
  });

  it('works without evaluation runs while MLflow is down, and is marked stale', async () => {
    const { answer } = driftOver({ noRuns: true, late: [point('accuracy', 0.9, daysAgo(3))] });
    const { value, stale } = await answer();
    expect(stale).toBe(true);
    expect(value[3]?.reason).toBe(
      'nothing was measured for this version after its training; but failed to read the runs that evaluate it: MLflow is down',
    );
    expect(value[0]?.points).toHaveLength(1);
  });

  it('ignores values from the future', async () => {
    expect((await driftOver({ late: [point('accuracy', 0.5, daysAgo(-2))] }).ofModel())[0]?.status).toBe('no_data');
  });

  it.each(['0', '-1', '3651', '1.5', 'x', ''])('refuses days=%s', async (days) => {
    await expect(driftOver().ofModel(days)).rejects.toThrow('days must be an integer between 1 and 3650');
  });
});
