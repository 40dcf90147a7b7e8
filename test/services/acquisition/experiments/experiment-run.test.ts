import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseAllDocuments } from 'yaml';
import { misconfigured, unavailable } from '#kernel/errors.ts';
import { seededRandom } from '#kernel/rng.ts';
import { experimentWorld as world } from '../../../support/experiment-world.ts';
import { rightOf } from '../../../support/rights.ts';

/** Times of day depend on the run; everything else must be equal. */
const timeless = (files: Record<string, string>) =>
  Object.fromEntries(
    Object.entries(files).map(([name, text]) => [name, text.replaceAll(/2026-11-20T[\d:.]+Z/g, 'then')]),
  );

describe('experiments', () => {
  it('run every combination, one service at a time per target, and restore all replicas', async () => {
    const { fake, tower, loads, events, files } = await world({ change: { scale_to_zero: ['loadgenerator'] } });
    const { run, said } = tower();
    expect(await run()).toEqual({
      status: 'completed',
      total_experiments: 8,
      successful_experiments: 8,
      failed_experiments: 0,
      skipped_experiments: 0,
      data_quality: { high_quality: 8, medium_quality: 0, low_quality: 0 },
      failures: [],
      notes: [],
    });
    expect(Object.keys(files())).toHaveLength(16);
    expect(loads.map(({ replicas }) => replicas.join())).toEqual([
      ...Array(2).fill('1,2,0'),
      ...Array(2).fill('3,2,0'),
      ...Array(2).fill('2,1,0'),
      ...Array(2).fill('2,3,0'),
    ]);
    expect([fake.replicasOf('web'), fake.replicasOf('cart'), fake.replicasOf('loadgenerator'), fake.leases()]).toEqual([
      2,
      2,
      1,
      [],
    ]);
    expect(events.filter((event) => event === 'succeeded')).toHaveLength(8);
    expect(said.at(-1)).toMatchObject({ total: 8, finished: 8, succeeded: 8, running: [] });
    const one = JSON.parse(files()['web_browsing_replicas_3_users_20.json']!) as Record<string, unknown>;
    expect(one).toMatchObject({
      target_service: 'web',
      replica_count: 3,
      load_users: 20,
      duration_minutes: 4,
      namespace: 'shop',
      job: 'job-1',
      load_test: { total_requests: 200, success_rate: 1 },
      missing: [],
      data_quality: {
        status: 'passed',
        warnings: [],
        grade: 'high',
        checks: { completeness: { passed: true }, nan_values: { passed: true }, plausibility: { passed: true } },
      },
      metrics: { cpu_cores: { _type: 'DataFrame', shape: [9, 2], known: 1 } },
    });
    const again = await tower().run();
    expect(again).toMatchObject({ successful_experiments: 8, skipped_experiments: 0 });
    expect(loads).toHaveLength(8);
  });

  it('produce the same data and restore replicas when killed at any point', async () => {
    const whole = await world();
    const first = whole.tower();
    await first.run();
    const expected = timeless(whole.files());
    const lives = fc.array(fc.integer({ min: 0, max: first.calls() }), { minLength: 1, maxLength: 10 });
    await fc.assert(
      fc.asyncProperty(lives, async (each) => {
        const { fake, tower, files } = await world();
        for (const life of each) await tower(life).run();
        await tower().run();
        expect(timeless(files())).toEqual(expected);
        expect([fake.replicasOf('web'), fake.replicasOf('cart'), fake.leases()]).toEqual([2, 2, []]);
        fake.close();
      }),
      { numRuns: process.env['SOAK'] ? 60 : 6 },
    );
  }, 120_000);

  it('that run concurrently scale shared workloads to zero once, and restore them once', async () => {
    for (const seed of [1, 2, 3]) {
      const random = seededRandom(seed);
      const { fake, tower, loads } = await world({
        change: {
          scale_to_zero: ['loadgenerator'],
          max_parallel_workers: 2,
          target_urls: { web: 'http://shop', cart: 'http://cart' },
        },
      });
      fake.delays(() => 10 * random());
      expect(await tower().run()).toMatchObject({ status: 'completed', successful_experiments: 8 });
      // Other services kept their replicas all the time.
      expect(loads.map(({ replicas }) => replicas[2])).toEqual(Array.from({ length: 8 }, () => 0));
      expect(new Set(loads.map(({ at }) => at))).toEqual(new Set(['http://shop', 'http://cart']));
      expect([fake.replicasOf('web'), fake.replicasOf('cart'), fake.replicasOf('loadgenerator')]).toEqual([2, 2, 1]);
      expect(fake.leases()).toEqual([]);
    }
  });

  it('retry while the API server and Prometheus are unavailable', async () => {
    const { fake, tower } = await world({ services: ['web'] });
    let calls = 0;
    fake.failure(() => ((calls += 1) % 40 > 20 ? { status: 503 } : undefined));
    expect(await tower().run()).toMatchObject({ status: 'completed', successful_experiments: 4, failures: [] });
    fake.failure(() => undefined);
    expect([fake.replicasOf('web'), fake.leases()]).toEqual([2, []]);
  });

  it.each([
    ['is away for good', unavailable('Prometheus answered 503'), 'Prometheus answered 503, for half an hour'],
    ['refuses the credentials', misconfigured('Prometheus answered 401'), 'Prometheus answered 401'],
  ])('send no load if Prometheus %s, and report it', async (_, failure, error) => {
    const { fake, tower, loads } = await world({ services: ['web'], change: { max_retries: 1 } });
    const { run } = tower(Number.POSITIVE_INFINITY, (_call, what) => {
      if (what === 'answering') throw failure;
    });
    const result = await run();
    expect(result).toMatchObject({ status: 'failed', failed_experiments: 4 });
    expect(result!.failures[0]).toMatchObject({ error, attempts: 2 });
    expect(loads).toEqual([]);
    expect([fake.replicasOf('web'), fake.leases()]).toEqual([2, []]);
  });

  it('are not repeated endlessly while Prometheus stays unavailable', async () => {
    const { tower, loads, events } = await world({ services: ['web'], change: { max_retries: 1 } });
    const { run } = tower(Number.POSITIVE_INFINITY, (_call, what) => {
      if (what === 'Prometheus' || (what === 'answering' && loads.length > 0)) throw unavailable('Prometheus is away');
    });
    expect(await run()).toMatchObject({ failed_experiments: 4 });
    expect([loads.length, events.filter((event) => event === 'failed').length]).toEqual([1, 8]);
  });

  it('restore what they changed when cancelled, and do not count as failures', async () => {
    const { fake, tower, events } = await world();
    const cancel = new AbortController();
    const { run } = tower(Number.POSITIVE_INFINITY, (call) => {
      if (call === 12) cancel.abort(new Error('cancelled'));
    });
    await expect(run(cancel.signal)).rejects.toThrow('cancelled');
    expect([events.includes('failed'), events.at(-1)]).toEqual([false, 'cancelled']);
    expect([fake.replicasOf('web'), fake.replicasOf('cart'), fake.leases()]).toEqual([2, 2, []]);
  });

  it('are retried, and reported with the reason after the last attempt', async () => {
    const { fake, tower, events } = await world({ services: ['web'], change: { max_retries: 1 } });
    fake.failure(({ method, path }) =>
      method === 'PUT' && path.endsWith('web/scale') ? { status: 422, message: 'quota is used up' } : undefined,
    );
    const result = await tower().run();
    expect(result).toMatchObject({
      status: 'failed',
      successful_experiments: 0,
      failed_experiments: 4,
    });
    expect(result!.failures[0]).toEqual({
      experiment_id: 'web_browsing_replicas_1_users_5',
      error: 'Kubernetes: quota is used up',
      attempts: 1,
    });
    expect(events.filter((event) => event === 'failed')).toHaveLength(4);
    fake.failure(() => undefined);
    expect(await tower().run()).toMatchObject({ status: 'completed', successful_experiments: 4 });
  });

  it('refuse services that an autoscaler scales', async () => {
    const { fake, tower } = await world({ services: ['web'], change: { max_retries: 0 } });
    fake.add('/apis/autoscaling/v2/namespaces/shop/horizontalpodautoscalers', {
      metadata: { name: 'web' },
      spec: { scaleTargetRef: { kind: 'Deployment', name: 'web' } },
    });
    const result = await tower().run();
    expect(result!.failures[0]!.error).toContain('the HorizontalPodAutoscaler web scales web');
    expect(fake.replicasOf('web')).toBe(2);
  });

  it('are of low quality if replicas changed meanwhile, and a service scaled away is restored', async () => {
    const { fake, tower, files } = await world({ services: ['web'] });
    let seen = 0;
    const { run } = tower(Number.POSITIVE_INFINITY, (_, what) => {
      // Another client scales the service while it is being tested.
      if (what === 'Prometheus' && ++seen === 2) fake.workload('Deployment', 'web', 0, [{ name: 'server' }]);
    });
    expect(await run()).toMatchObject({ data_quality: { low_quality: 1, high_quality: 3 } });
    expect(fake.replicasOf('web')).toBe(2);
    expect(Object.values(files()).join()).not.toContain('NaN');
  });

  it('are of low quality if too many requests failed, and contain no addresses if anonymised', async () => {
    const { tower, files } = await world({ services: ['web'], change: { anonymize: true }, failing: () => 0.06 });
    expect(await tower().run()).toMatchObject({ data_quality: { low_quality: 4 } });
    const text = Object.values(files()).join('\n');
    expect(text).toContain('connect ECONNREFUSED (address)');
    expect(text).not.toMatch(/10\.2\.3\.4|http:|"namespace": "shop"|job-1/);
    // It is still recognised as its own.
    expect(await tower().run()).toMatchObject({ successful_experiments: 4, skipped_experiments: 0 });
  });

  it('fail if every request of the load test failed, and write no files', async () => {
    const { tower, files, events, fake } = await world({
      services: ['web'],
      change: { max_retries: 1 },
      failing: () => 1,
    });
    const result = await tower().run();
    expect(result).toMatchObject({ status: 'failed', successful_experiments: 0, failed_experiments: 4 });
    expect(result!.failures[0]).toMatchObject({
      attempts: 2,
      error: expect.stringMatching(/^all \d+ requests of the load test failed: /),
    });
    expect(events.filter((event) => event === 'failed')).toHaveLength(8);
    expect(events).not.toContain('succeeded');
    expect(files()).toEqual({});
    expect(fake.replicasOf('web')).toBe(2);
  });

  it('need exactly the permissions that deploy/ grants', async () => {
    const { fake, tower } = await world({ change: { scale_to_zero: ['loadgenerator'] } });
    await tower(20).run();
    await tower().run();
    const used = fake.calls.map(rightOf);
    const text = readFileSync(join(import.meta.dirname, '../../../../deploy/kubernetes/experiments.yaml'), 'utf8');
    type Rule = { apiGroups: string[]; resources: string[]; verbs: string[] };
    const { rules } = parseAllDocuments(text)[0]!.toJS() as { rules: Rule[] };
    const given = rules.flatMap(({ apiGroups, resources, verbs: each }) =>
      each.flatMap((verb) => resources.map((resource) => `${verb} ${apiGroups[0]} ${resource}`)),
    );
    expect([...new Set(used)].filter((right) => !given.includes(right))).toEqual([]);
    // Unused here: StatefulSets, pod watches, workload lists and reads for recommendations.
    const spare = given.filter((right) => !used.includes(right)).sort();
    expect(spare).toEqual([
      'get apps daemonsets',
      'get apps deployments',
      'get apps statefulsets',
      'get apps statefulsets/scale',
      'list apps deployments',
      'list apps statefulsets',
      'list autoscaling.k8s.io verticalpodautoscalers',
      'update apps statefulsets/scale',
      'watch  pods',
    ]);
  });
});
