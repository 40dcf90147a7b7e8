import { describe, expect, it } from 'vitest';
import { directionOf } from '#kernel/metric-direction.ts';
import type { Comparison, HygieneReport } from '#services/registry/promotion/promotion-schemas.ts';
import type { FakeRegistry } from '../../../fakes/mlflow.ts';
import { day, judging, now, pair, run, version } from '../../../support/promotion.ts';

describe('compare', () => {
  it('reports the better value of each metric, and differing params and tags', async () => {
    const { get } = await judging(pair);
    const comparison = await get<Comparison>('/model/DNA/compare');
    expect(comparison).toMatchObject({
      champion: { version: '1' },
      challenger: { version: '2' },
      comparable: 'yes',
      comparable_reason: 'both were measured on holdout',
      params: [{ name: 'lr', champion: '1', challenger: '2' }],
      params_reason: null,
      tags: [{ name: 'ok', champion: null, challenger: 'yes' }],
      summary: { challenger_better: 1, champion_better: 1, equal: 1, undecided: 2 },
    });
    expect(comparison.metrics.map((item) => [item.name, item.direction, item.better])).toEqual([
      ['accuracy', 'higher', 'challenger'],
      ['loss', 'lower', 'champion'],
      ['odd', 'unknown', null],
      ['only_old', 'unknown', null],
      ['same', 'unknown', 'equal'],
    ]);
    expect(comparison.metrics[1]?.change_pct).toBeCloseTo(20, 9);
  });

  it.each([
    ['another dataset', ['other', 'aa'], 'warn', 'they were measured on different datasets: holdout and other'],
    ['the same dataset that changed', ['holdout', 'bb'], 'warn', 'the digest of holdout differs between the two runs'],
    ['no dataset', undefined, 'unknown', 'MLflow has no dataset for both runs'],
  ] as const)('warns about %s', async (_what, dataset, comparable, reason) => {
    const [old] = pair.runs;
    const { get } = await judging({
      ...pair,
      runs: [old ?? run('1', {}), run('2', {}, dataset ? { dataset: [...dataset] } : {})],
    });
    expect(await get('/model/DNA/compare')).toMatchObject({ comparable, comparable_reason: reason });
  });

  it('works without params while MLflow is down, with a warning', async () => {
    const { get, fake } = await judging(pair);
    await fake.close();
    const comparison = await get<Comparison>('/model/DNA/compare');
    expect(comparison).toMatchObject({
      params: null,
      params_reason: expect.stringMatching(/^cannot read the runs: cannot reach MLflow/),
      comparable: 'unknown',
    });
    expect(comparison.metrics).toHaveLength(5);
  });

  it('uses the configured direction', async () => {
    const { get } = await judging(pair, { METRICS_LOWER_IS_BETTER: 'odd', METRICS_HIGHER_IS_BETTER: 'LOSS' });
    const better = Object.fromEntries(
      (await get<Comparison>('/model/DNA/compare')).metrics.map((item) => [item.name, item.better]),
    );
    expect(better).toMatchObject({ odd: 'champion', loss: 'challenger' });
  });
});

describe('the direction of a metric', () => {
  const none = { higher: new Set<string>(), lower: new Set<string>() };
  it.each([
    ['accuracy', 'higher'],
    ['val_accuracy', 'higher'],
    ['test/f1', 'higher'],
    ['precision@10', 'higher'],
    ['ndcg_at_5', 'higher'],
    ['AUC', 'higher'],
    ['f1_score_weighted', 'higher'],
    ['val_loss', 'lower'],
    ['eval/RMSE', 'lower'],
    ['mean-absolute-error', 'lower'],
    ['latency_ms', 'lower'],
    ['training_log_loss', 'lower'],
    ['Total Number of Mutations', 'unknown'],
    ['lossless', 'unknown'],
    ['x', 'unknown'],
    ['', 'unknown'],
  ])('%s: %s', (name, direction) => {
    expect(directionOf(name, none)).toBe(direction);
  });
});

describe('hygiene', () => {
  const messy: Partial<FakeRegistry> = {
    models: [
      {
        name: 'DNA',
        creation_timestamp: 1,
        aliases: [
          { alias: 'champion', version: '1' },
          { alias: 'gone', version: '9' },
        ],
      },
      { name: 'clean', creation_timestamp: 1, description: 'fine', tags: [{ key: 'owner', value: 'dana' }] },
    ],
    versions: [
      version('1', { current_stage: 'Archived' }),
      version('2', { current_stage: 'Production', run_id: '' }),
      version('3', { current_stage: 'Production', run_id: 'lost', creation_timestamp: now - 300 * day }),
      version('4', { current_stage: 'Staging' }),
      version('5'),
      version('1', { name: 'clean', current_stage: 'Production', run_id: 'run9' }),
    ],
    runs: [run('1', { a: 1 }), run('4', {}), run('9', { a: 1 })],
  };

  it('reports findings of versions in production and staging', async () => {
    const { app, get } = await judging(messy);
    await app.inject({
      method: 'POST',
      url: '/models/clean/1/monitor',
      payload: { model_type: 'classifier', registered_by: 'dana' },
    });
    const report = await get<HygieneReport>('/models/hygiene');
    expect(report.findings.map((item) => `${item.kind} ${item.name} ${item.version ?? '-'}: ${item.detail}`)).toEqual([
      'dangling_alias DNA 9: alias gone points at version 9, which was deleted',
      'several_production_versions DNA -: versions 2, 3 are in production at the same time',
      'missing_run DNA 2: it was registered without a run',
      'missing_run DNA 3: its run lost does not exist',
      'unmonitored_production DNA 2: in production but not monitored',
      'unmonitored_production DNA 3: in production but not monitored',
      'no_metrics DNA 4: its run has no metrics',
      'no_owner DNA 2: neither the version nor its model has a tag owner, team, maintainer',
      'no_owner DNA 3: neither the version nor its model has a tag owner, team, maintainer',
      'no_owner DNA 4: neither the version nor its model has a tag owner, team, maintainer',
      'no_description DNA -: the model has no description',
    ]);
    expect(report).toMatchObject({ checked_models: 2, checked_versions: 4, counts: { no_owner: 3, stale_model: 0 } });
  });

  it('checks every version on request', async () => {
    const { get } = await judging(messy);
    const report = await get<HygieneReport>('/models/hygiene?scope=all&kind=stage_alias_conflict');
    expect(report.findings).toMatchObject([
      { version: '1', detail: 'its stage is Archived, but its aliases (champion) mean Production' },
    ]);
    expect(report.counts.missing_run).toBe(3);
  });

  it('reports a version in production unchanged for too long', async () => {
    const { get } = await judging({
      versions: [version('1', { current_stage: 'Production', creation_timestamp: now - 181 * day })],
      runs: [run('1', { a: 1 })],
    });
    expect((await get<HygieneReport>('/models/hygiene?kind=stale_model')).findings).toMatchObject([
      { name: 'DNA', detail: 'the version in production was created 181 days ago (more than 180)' },
    ]);
  });

  it('is paginated', async () => {
    const { app } = await judging(messy);
    const first = await app.inject('/models/hygiene?limit=8');
    expect(first.headers['x-total-count']).toBe('12');
    const next = /<([^>]+)>/.exec(String(first.headers['link']))?.[1] ?? '';
    const second = await app.inject(next);
    expect(second.json<HygieneReport>().findings).toHaveLength(4);
    expect(second.headers['link']).toBeUndefined();
  });
});
