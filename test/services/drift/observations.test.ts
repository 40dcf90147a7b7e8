import { describe, expect, it } from 'vitest';
import { normal, seededRandom } from '#kernel/rng.ts';
import type { ModelDrift } from '#services/drift/schemas.ts';
import { composeInstance } from '../../routes/compose-instance.ts';

const day = 86_400_000;
const random = seededRandom(8);
const draw = (n: number, mean = 0) => Array.from({ length: n }, () => mean + normal(random));

async function posting() {
  const tower = await composeInstance();
  const at = (ago: number) => new Date(tower.clock.now() - ago * day).toISOString();
  const post = async (observations: object[]) =>
    tower.app.inject({ method: 'POST', url: '/model/DNA/2/observations', payload: { observations } });
  const drift = async () => {
    const all = (await tower.app.inject('/model/DNA/drift')).json<ModelDrift>();
    const version = all.find((item) => item.version === '2');
    if (!version) throw new Error('version 2 is missing');
    return version;
  };
  const pin = (payload: object) => tower.app.inject({ method: 'PUT', url: '/model/DNA/2/baselines', payload });
  return { ...tower, at, post, drift, pin };
}

describe('posted values', () => {
  it('are evaluated like others, with provenance', async () => {
    const { at, post, drift } = await posting();
    const values = Array.from({ length: 40 }, (_, i) => ({
      at: at(40 - i),
      metric: 'accuracy',
      value: (i < 25 ? 0.94 : 0.85) + 0.004 * normal(random),
      n: 500,
    }));
    expect((await post(values)).json()).toEqual({ accepted: 40, duplicates: 0 });
    const version = await drift();
    expect(version).toMatchObject({
      status: 'drift',
      assessment: [{ kind: 'metric', metric: 'accuracy', n_points: 40 }],
    });
    expect(version.points.at(-1)).toMatchObject({ source: 'posted', phase: 'production', run_id: null });
  });

  it('count once however often they are posted, by id or by content', async () => {
    const { at, post, drift } = await posting();
    const item = { at: at(1), metric: 'accuracy', value: 0.9 };
    expect((await post([item, item])).json()).toEqual({ accepted: 1, duplicates: 1 });
    expect((await post([item])).json()).toEqual({ accepted: 0, duplicates: 1 });
    expect((await post([{ ...item, id: 'a' }])).json()).toEqual({ accepted: 1, duplicates: 0 });
    expect((await post([{ ...item, id: 'a', value: 0.1 }])).json()).toEqual({ accepted: 0, duplicates: 1 });
    expect((await drift()).points.map((point) => point.value)).toEqual([0.9, 0.9]);
  });

  it('are refused as a whole batch if one is invalid', async () => {
    const { at, post, drift } = await posting();
    const response = await post([
      { at: at(1), metric: 'accuracy', value: 0.9 },
      { at: at(1), metric: 'accuracy', value: 'high' },
    ]);
    expect(response.statusCode).toBe(400);
    expect(response.json<{ detail: string }>().detail).toMatch(/^observations\.1 must be/);
    expect((await drift()).points).toEqual([]);
  });

  it('of a day with too many are thinned evenly, and counted', async () => {
    const { at, post, drift } = await posting();
    const rows = Array.from({ length: 10_000 }, (_, i) => `a-category-with-a-long-name-${i % 7}`);
    const batch = (ago: number, feature: string, from: number) =>
      Array.from({ length: 2 }, (_, i) => ({
        id: `${ago}-${feature}-${from + i}`,
        at: at(ago),
        feature,
        samples: rows,
      }));
    for (const ago of [3, 1])
      for (const from of [0, 2, 4, 6, 8, 10]) expect((await post(batch(ago, 'city', from))).statusCode).toBe(201);
    await post([{ at: at(1), feature: 'other', samples: rows }]);
    const version = await drift();
    expect(version.observations_omitted).toBeGreaterThan(12);
    const city = version.assessment.find((item) => item.kind === 'distribution' && item.feature === 'city');
    expect(city).toMatchObject({
      status: 'stable',
      current: { n: expect.toSatisfy((n: number) => n >= 20_000 && n <= 40_000) },
    });
  });
});

describe('posted distributions', () => {
  it('of numbers are stable or drift, with every distance', async () => {
    const { at, post, drift } = await posting();
    await post([
      { at: at(3), feature: 'age', samples: draw(400) },
      { at: at(2), feature: 'age', samples: draw(400) },
    ]);
    expect((await drift()).assessment).toMatchObject([
      { feature: 'age', status: 'stable', baseline: { n: 400, source: 'first_day' }, previous: null },
    ]);
    await post([{ at: at(1), feature: 'age', samples: draw(400, 0.6) }]);
    const version = await drift();
    expect(version).toMatchObject({
      status: 'drift',
      reason: expect.stringMatching(/^the distribution of age has changed \(Jensen-Shannon distance 0\.\d+\)$/),
    });
    const [assessment] = version.assessment;
    expect(assessment?.tests.map((test) => `${test.name} ${test.against}`)).toEqual([
      'kolmogorov_smirnov baseline',
      'wasserstein baseline',
      'jensen_shannon baseline',
      'psi baseline',
      'kolmogorov_smirnov previous',
      'wasserstein previous',
      'jensen_shannon previous',
      'psi previous',
    ]);
    expect(assessment?.tests.every((test) => test.flag)).toBe(true);
  });

  it('of categories and of bins are evaluated', async () => {
    const { at, post, drift } = await posting();
    const bins = (counts: number[]) => ({ edges: [0, 10, 20, 30, 40], counts });
    await post([
      { at: at(2), feature: 'plan', histogram: { categories: { free: 800, pro: 200 } } },
      { at: at(1), feature: 'plan', histogram: { categories: { free: 500, pro: 400, team: 100 } } },
      { at: at(2), feature: 'size', histogram: bins([100, 300, 300, 100]) },
      { at: at(1), feature: 'size', histogram: bins([105, 290, 305, 100]) },
      { at: at(2), feature: 'label', samples: [...'aabbc'.repeat(10)] },
      { at: at(1), feature: 'label', samples: [...'abcab'.repeat(10)] },
    ]);
    const found = (await drift()).assessment.map((item) => [
      item.kind === 'distribution' && item.feature,
      item.kind === 'distribution' && item.type,
      item.status,
    ]);
    expect(found).toEqual(
      [
        ['label', 'categorical', 'stable'],
        ['plan', 'categorical', 'drift'],
        ['size', 'numeric', 'stable'],
      ].sort((a, b) => found.findIndex((x) => x[0] === a[0]) - found.findIndex((x) => x[0] === b[0])),
    );
  });

  it('of the current day are never part of the baseline', async () => {
    const { at, post, drift, pin } = await posting();
    await pin({ subject: 'age', from: at(10), until: at(0) });
    await post([{ at: at(1), feature: 'age', samples: draw(200) }]);
    expect((await drift()).assessment).toMatchObject([{ status: 'insufficient_data', p: null }]);
  });

  it('are evaluated for days with very many posts, and for the largest numbers', async () => {
    const { at, post, drift } = await posting();
    const many = Array.from({ length: 1000 }, (_, i) => ({ at: at(1), feature: 'age', samples: [i], id: `${i}` }));
    await post([{ at: at(2), feature: 'age', samples: draw(200) }]);
    await post(many);
    const [low, high] = [-1e100, 1e100];
    await post(
      [2, 1].map((ago) => ({
        at: at(ago),
        feature: 'huge',
        samples: Array.from({ length: 50 }, (_, i) => (i % 2 ? low : high)),
      })),
    );
    await post(
      [2, 1].map((ago) => ({ at: at(ago), feature: 'counts', histogram: { categories: { a: 1e12, b: ago * 1e11 } } })),
    );
    expect((await post([{ at: at(1), feature: 'counts', histogram: { categories: { a: 1e13 } } }])).statusCode).toBe(
      400,
    );
    expect((await drift()).assessment).toHaveLength(3);
  });

  it('give no verdict with few rows or a single day', async () => {
    const { at, post, drift } = await posting();
    await post([{ at: at(2), feature: 'age', samples: draw(10) }]);
    expect((await drift()).assessment).toMatchObject([
      { status: 'insufficient_data', reason: 'only one day has data; two are required' },
    ]);
    await post([{ at: at(1), feature: 'age', samples: draw(400) }]);
    expect((await drift()).assessment).toMatchObject([
      { status: 'insufficient_data', reason: '10 and 400 rows; at least 20 each are required for a verdict', p: null },
    ]);
  });

  it('of different forms are not compared, which is a caveat', async () => {
    const { at, post, drift } = await posting();
    await post([
      { at: at(2), feature: 'age', samples: draw(100) },
      { at: at(1), feature: 'age', histogram: { edges: [0, 1, 2], counts: [50, 50] } },
    ]);
    expect((await drift()).assessment).toMatchObject([
      { status: 'insufficient_data', caveats: [expect.stringMatching(/^data posted in different forms/)] },
    ]);
  });

  it('that do not change rarely give a warning', async () => {
    const { at, post, drift } = await posting();
    for (let i = 0; i < 30; i += 1)
      await post([20, 1].map((ago) => ({ at: at(ago), feature: `f${i}`, samples: draw(100) })));
    const statuses = (await drift()).assessment.map((item) => item.status);
    expect(statuses.filter((status) => status === 'drift')).toEqual([]);
    expect(statuses.filter((status) => status === 'warning').length).toBeLessThanOrEqual(4);
  });
});

describe('pinned baselines', () => {
  it('of days replace the first days', async () => {
    const { at, post, drift, pin, app } = await posting();
    const values = Array.from({ length: 60 }, (_, i) => ({
      at: at(60 - i),
      metric: 'accuracy',
      value: (i < 20 ? 0.94 : 0.85) + 0.004 * normal(random),
    }));
    await post(values);
    expect((await drift()).status).toBe('drift');
    expect((await pin({ subject: 'accuracy', from: at(40), until: at(20) })).statusCode).toBe(200);
    const [assessment] = (await drift()).assessment;
    expect(assessment).toMatchObject({ baseline: { n: 20, source: 'pinned' } });
    expect(assessment?.kind === 'metric' && assessment.baseline?.value).toBeCloseTo(0.85, 2);
    expect(assessment?.kind === 'metric' && Math.abs(assessment.change ?? 1)).toBeLessThan(0.01);
    await app.inject({ method: 'DELETE', url: '/model/DNA/2/baselines?subject=accuracy' });
    expect((await drift()).assessment[0]).toMatchObject({ baseline: { source: 'first_points' } });
  });

  it('of a value apply from the first day on', async () => {
    const { at, post, drift, pin } = await posting();
    await pin({ subject: 'accuracy', value: 0.95, sd: 0.01, n: 100 });
    await post(
      Array.from({ length: 9 }, (_, i) => ({ at: at(9 - i), metric: 'accuracy', value: 0.9 + 0.004 * normal(random) })),
    );
    expect((await drift()).assessment[0]).toMatchObject({
      status: 'drift',
      baseline: { value: 0.95, sd: 0.01, n: 100, source: 'pinned' },
      reason: expect.stringMatching(/^accuracy fell from 0\.95 to 0\.(89|90)/),
    });
  });

  it('without values give no verdict, with the reason', async () => {
    const { at, post, drift, pin } = await posting();
    await post(Array.from({ length: 40 }, (_, i) => ({ at: at(40 - i), metric: 'auc', value: 0.9 - i * 0.002 })));
    expect((await drift()).status).toBe('drift');
    await pin({ subject: 'auc', from: '2020-01-01T00:00:00Z', until: '2020-02-01T00:00:00Z' });
    expect((await drift()).assessment).toMatchObject([
      { status: 'insufficient_data', reason: 'the pinned days have no values', tests: [], p: null },
    ]);
  });

  it('of a value do not affect distributions', async () => {
    const { at, post, drift, pin } = await posting();
    await post([
      { at: at(2), feature: 'age', samples: draw(300) },
      { at: at(1), feature: 'age', samples: draw(300, 1) },
    ]);
    await pin({ subject: 'age', value: 50, sd: 10, n: 100 });
    expect((await drift()).assessment).toMatchObject([
      { status: 'drift', caveats: [expect.stringMatching(/^a pinned value applies to metrics/)] },
    ]);
  });

  it('are listed with who pinned them', async () => {
    const { pin, app } = await posting();
    await pin({ subject: 'accuracy', value: 0.95, sd: 0.01, n: 100 });
    await pin({ subject: 'accuracy', value: 0.9, sd: 0.01, n: 100 });
    expect((await app.inject('/model/DNA/2/baselines')).json()).toEqual([
      {
        subject: 'accuracy',
        from: null,
        until: null,
        value: 0.9,
        sd: 0.01,
        n: 100,
        pinned_by: 'anonymous',
        pinned_at: '2026-11-20T00:00:00.000Z',
      },
    ]);
  });
});
