import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { invalid, unavailable } from '#kernel/errors.ts';
import { createRightsizing } from '#services/rightsizing/rightsizing.ts';
import { SizeRequest } from '#services/rightsizing/schemas.ts';
import type { Sampled } from '../../../support/cluster-series.ts';
import { now, series, towerOver, withoutHpa } from '../../../support/sized-tower.ts';

const pod = 'web-7d9f8b6c5d-ddddd';
const fourDays = { history_days: 4 };
const statefulSet: Sampled = {
  name: 'kube_statefulset_replicas',
  labels: { job: 'kube-state-metrics', namespace: 'shop', statefulset: 'db' },
  samples: [[now - 60_000, 1]],
};

const nothingThere = {
  state: async () => ({
    hpa: null,
    node: {},
    unknown: [],
    containers: {},
    replicas: 1,
    nativeSidecars: [],
    warnings: [],
  }),
  workloads: async () => [],
  written: async () => ({ written: null, failure: null }),
  experimentWindows: async () => [],
  loadPoints: async () => ({ points: [], leftOut: 0 }),
};
const ofNothing = {
  timeoutMs: 1000,
  clock: { now: () => now, sleep: async () => undefined },
  queue: { handle: () => undefined },
  prices: { currency: 'USD', cpuCoreHour: 1, memoryGibHour: 1 },
  pool: { run: async () => ({ advised: [], known: {} }) },
};

describe('a recommendation request', { timeout: 30_000 }, () => {
  it('gives one replica if one suffices', async () => {
    const alone = withoutHpa
      .filter(({ labels }) => labels['workload'] === 'idle' || labels['pod'] === undefined || labels['pod'] === pod)
      .map((each) =>
        each.name === 'kube_deployment_spec_replicas'
          ? { ...each, samples: each.samples.map(([ms]): [number, number] => [ms, 1]) }
          : each,
      );
    const { recommend } = await towerOver(alone);
    expect((await recommend('web', fourDays)).replicas).toMatchObject({ current: 1, recommended: 1 });
    expect((await recommend('web', { ...fourDays, target_utilization: 0.5 })).replicas!.recommended).toBe(2);
  });

  it('gives outputs that kubectl parses correctly as YAML 1.1', async () => {
    const { outputs } = await (await towerOver(series)).recommend('web', fourDays);
    expect(outputs!.vpa).toContain('mode: "Off"');
    expect(parse(outputs!.vpa, { version: '1.1' })).toEqual(parse(outputs!.vpa, { version: '1.2' }));
  });

  it.each([
    [{ min_cpu_cores: 100, max_cpu_cores: 1 }, 'min_cpu_cores must not be above max_cpu_cores'],
    [{ min_memory_bytes: 9e9, max_memory_bytes: 1e9 }, 'min_memory_bytes must not be above max_memory_bytes'],
    [{ min_replicas: 9, max_replicas: 3 }, 'min_replicas must not be above max_replicas'],
    [{ basis: 'usage', demand_requests_per_second: 9 }, 'demand_requests_per_second requires'],
  ])('must not contradict itself: %o', async (body, text) => {
    const { status, body: said } = await (await towerOver(null)).call(
      '/api/v1/rightsizing/shop/web/recommendation',
      body,
    );
    expect(status).toBe(400);
    expect(said.detail).toContain(text);
  });

  it('may have a cap below the default floor, with a note', async () => {
    const { recommend } = await towerOver(series, { RIGHTSIZING_MIN_CPU_CORES: '4' });
    const { cpu } = (await recommend('web', { ...fourDays, max_cpu_cores: 2 })).containers[1]!;
    expect(cpu).toMatchObject({ request: 2, bound_by: 'floor' });
    expect(cpu.explanation).toMatch(/was raised to the floor, 2$/);
  });

  it('for a demand requires experiments', async () => {
    const { capacity } = await (await towerOver(series)).recommend('web', {
      ...fourDays,
      demand_requests_per_second: 100,
    });
    expect(capacity).toMatchObject({ reason: 'no experiments' });
  });

  it.each([
    [
      Array.from({ length: 5000 }, () => null),
      '0 values of 300 s are too few: 7 days of warm-up (warm_up_days) and one horizon require 2304',
    ],
    [
      [...Array.from({ length: 4000 }, () => null), ...Array.from({ length: 40 }, () => 1)],
      '40 values of 300 s are too few',
    ],
    [Array.from({ length: 4000 }, (_, i) => (i % 10 === 0 ? 1 : null)), 'only 400 of 3991 values are known'],
  ])('refuses backtests of mostly unknown values', async (values, text) => {
    const { status, body } = await (await towerOver(null)).call('/api/v1/rightsizing/backtest', {
      values,
      step_seconds: 300,
    });
    expect(status).toBe(400);
    expect(body.detail).toContain(text);
  });
});

it('uses less history for very many pods, with a note', async () => {
  const asked: number[] = [];
  const tooMuch = invalid('the query has 900 series', { most_values: 10_000_000 });
  const history = {
    pods: async (_: object, __: string, { startMs, endMs }: { startMs: number; endMs: number }) => {
      asked.push((endMs - startMs) / 86_400_000);
      if (endMs - startMs > 4 * 86_400_000) throw tooMuch;
      return { startMs, stepMs: 60_000, windowMs: 60_000, pods: [], impossible: 0, warnings: [] };
    },
    ...nothingThere,
  };
  const { recommend } = createRightsizing({ ...ofNothing, history } as unknown as Parameters<
    typeof createRightsizing
  >[0]);
  const { notes, history: looked } = await recommend(
    { namespace: 'shop', service: 'web' },
    SizeRequest.parse({ horizon: '1h' }),
  );
  expect([...new Set(asked)]).toEqual([14, 7, 3.5]);
  expect(notes).toContain('only the last 3.5 days were used, because of the number of pods');
  expect(Date.parse(looked.end) - Date.parse(looked.start)).toBe(3.5 * 86_400_000);
});

describe('recommendations of a namespace', () => {
  it('cover every kind of workload', { timeout: 30_000 }, async () => {
    const asStatefulSet = series.map((each) =>
      each.labels['workload'] === 'idle' ? { ...each, labels: { ...each.labels, workload_type: 'statefulset' } } : each,
    );
    const { call } = await towerOver(asStatefulSet);
    const kinds = async (body: object) =>
      (await call('/api/v1/rightsizing/shop/recommendations', { ...fourDays, ...body })).body.recommendations?.map(
        ({ service, kind, outputs }) => [service, kind, outputs?.kubectl.split(' ')[2]],
      );
    const [idle, web] = [
      ['idle', 'StatefulSet', 'statefulset'],
      ['web', 'Deployment', 'deployment'],
    ];
    expect(await kinds({})).toEqual([idle, web]);
    expect(await kinds({ kind: 'StatefulSet' })).toEqual([idle]);
    expect(await kinds({ services: ['idle'] })).toEqual([idle]);
    const plain = await towerOver([...series, statefulSet], {
      PROMETHEUS_PRESET: 'plain',
    });
    const { body } = await plain.call('/api/v1/rightsizing/shop/recommendations', fourDays);
    expect(body.recommendations.map(({ service, kind }) => [service, kind])).toEqual([
      ['db', 'StatefulSet'],
      ['idle', 'Deployment'],
      ['web', 'Deployment'],
    ]);
  });

  it('are paginated by fifty', async () => {
    const names = Array.from({ length: 120 }, (_, i) => `service-${String(i).padStart(3, '0')}`);
    const { recommendAll } = createRightsizing({
      ...ofNothing,
      history: {
        ...nothingThere,
        workloads: async () => names.map((service) => ({ service, kind: 'Deployment' })),
        pods: async () => ({ startMs: 0, stepMs: 1, windowMs: 1, pods: [], impossible: 0, warnings: [] }),
      },
    } as unknown as Parameters<typeof createRightsizing>[0]);
    const [seen, left]: [string[], number[]] = [[], []];
    let after: string | undefined;
    do {
      const { recommendations, left_off, next } = await recommendAll('shop', { after } as never);
      seen.push(...recommendations.map(({ service }) => service));
      left.push(left_off);
      after = next ?? undefined;
    } while (after !== undefined);
    expect([seen, left]).toEqual([names, [70, 20, 0]]);
    await expect(recommendAll('shop', { services: ['a'], after: 'b' } as never)).rejects.toThrow('after pages through');
  });

  it('are kept if one times out, and stop if Prometheus does not answer', async () => {
    const asked: string[] = [];
    const sized = (slow: string[]) =>
      createRightsizing({
        ...ofNothing,
        history: {
          ...nothingThere,
          workloads: async () => ['a', 'b', 'c', 'd', 'e', 'f'].map((service) => ({ service, kind: 'Deployment' })),
          pods: async ({ service }: { service: string }) => {
            asked.push(service);
            if (slow.includes(service)) throw unavailable(`no answer for ${service}`);
            return { startMs: 0, stepMs: 1, windowMs: 1, pods: [], impossible: 0, warnings: [] };
          },
        },
      } as unknown as Parameters<typeof createRightsizing>[0]).recommendAll('shop', {} as never);
    const one = await sized(['b']);
    expect(one.recommendations.map(({ service }) => service)).toEqual(['a', 'c', 'd', 'e', 'f']);
    expect(one.failures).toEqual([{ service: 'b', error: 'no answer for b' }]);
    asked.length = 0;
    const most = await sized(['b', 'c', 'd', 'e', 'f']);
    expect(most.recommendations.map(({ service }) => service)).toEqual(['a']);
    expect(most.failures.map(({ error }) => error)).toEqual([
      'no answer for b',
      'no answer for c',
      'no answer for d',
      'skipped: no answer for b',
      'skipped: no answer for b',
    ]);
    expect(asked).not.toContain('e');
    await expect(sized(['a', 'b', 'c', 'd', 'e', 'f'])).rejects.toThrow('no answer for a');
  });
});
