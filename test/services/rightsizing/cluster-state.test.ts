import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { createRightsizing } from '../../../services/rightsizing/rightsizing.ts';
import { unavailable } from '../../../src/kernel/errors.ts';
import { fakeKubernetes } from '../../fakes/kubernetes.ts';
import type { Sampled } from '../../support/cluster-series.ts';
import { now, series, stepMs, towerOver, withoutHpa } from '../../support/sized-tower.ts';
import { temporaryFolder } from '../../support/tower.ts';

/** Now, of kube-state-metrics. */
const state = (name: string, labels: Record<string, string>, value: number): Sampled => ({
  name,
  labels: { job: 'kube-state-metrics', namespace: 'shop', ...labels },
  samples: [[now - 60_000, value]],
});
const pod = 'web-7d9f8b6c5d-ddddd';
const fourDays = { history_days: 4 };
const patched = (kustomize: string) =>
  (
    parse(kustomize) as { spec: { template: { spec: { containers: { name: string }[] } } } }
  ).spec.template.spec.containers.map(({ name }) => name);

describe('a recommendation knows of its cluster', { timeout: 30_000 }, () => {
  it('an autoscaler by memory, whose target moves with the request, and one by anything else', async () => {
    const target = (metric: string, type: string, value: number) =>
      state(
        'kube_horizontalpodautoscaler_spec_target_metric',
        { horizontalpodautoscaler: 'web', metric_name: metric, metric_target_type: type },
        value,
      );
    const info = series.filter(({ name }) => name === 'kube_horizontalpodautoscaler_info');
    const byMemory = await towerOver([
      ...withoutHpa,
      ...info,
      target('memory', 'utilization', 70),
      target('queue', 'average', 30),
    ]);
    const { hpa, hpa_memory, replicas, notes, containers } = await byMemory.recommend('web', fourDays);
    expect(hpa).toBeNull();
    const after = containers[1]!.memory.request! + 128 * 2 ** 20;
    expect(hpa_memory!.target_utilization).toBe(0.7);
    expect(hpa_memory!.recommended_target_utilization).toBeCloseTo(Math.min(0.9, (0.7 * 384 * 2 ** 20) / after), 9);
    expect(replicas).toMatchObject({ recommended: null, explanation: 'the autoscaler web decides' });
    expect(notes).toContain('the autoscaler web scales by queue (average), which does not move with requests');
  });

  it('what its JVM may fill, and says how to have less', async () => {
    const jvm = (name: string, area: string, value: number) => ({
      ...state(name, { pod, container: 'web', area, id: 'all' }, value * 2 ** 20),
    });
    const { recommend } = await towerOver([
      ...withoutHpa,
      jvm('jvm_memory_max_bytes', 'heap', 180),
      jvm('jvm_memory_committed_bytes', 'nonheap', 40),
    ]);
    const { containers, notes } = await recommend('web', fourDays);
    expect(containers[1]!.memory).toMatchObject({ request: 220 * 2 ** 20, bound_by: 'heap' });
    expect(containers[0]!.memory.bound_by).toBe('usage');
    expect(notes.find((note) => note.startsWith('web: less memory would end it'))).toContain('set -Xmx to go lower');
  });

  it('that a node takes a pod whole', async () => {
    const node = (cores: number) =>
      withoutHpa.map((each) =>
        each.name === 'kube_node_status_allocatable' && each.labels['resource'] === 'cpu'
          ? { ...each, samples: each.samples.map(([ms]): [number, number] => [ms, cores]) }
          : each,
      );
    const cpu = async (cores: number) =>
      (await (await towerOver(node(cores))).recommend('web', { ...fourDays, min_cpu_cores: 0.2 })).containers.map(
        (each) => each.cpu,
      );
    const [proxy, web] = await cpu(4);
    expect([proxy!.bound_by, web!.bound_by]).toEqual(['floor', 'usage']);
    // Each of them would fit alone.
    const small = await cpu(0.4);
    expect(small.map(({ bound_by }) => bound_by)).toEqual(['node', 'node']);
    expect(small[0]!.request! + small[1]!.request!).toBeCloseTo(0.4, 9);
    expect(small[0]!.request! / small[1]!.request!).toBeCloseTo(0.2 / web!.request!, 6);
  });

  it('which containers are its own: no init container, and where a cluster tells, nothing else that is injected', async () => {
    const renamed = series.map((each) =>
      each.labels['container'] === 'istio-proxy'
        ? { ...each, labels: { ...each.labels, container: 'otel-agent' } }
        : each,
    );
    const alone = await (await towerOver(renamed)).recommend('web', fourDays);
    expect(patched(alone.outputs!.kustomize)).toEqual(['otel-agent', 'web']);
    const init = state('kube_pod_init_container_info', { pod, container: 'otel-agent' }, 1);
    const native = await (await towerOver([...renamed, init])).recommend('web', fourDays);
    expect(patched(native.outputs!.kustomize)).toEqual(['web']);
    expect(native.notes).toContain('otel-agent: an init container, so not in what is to be applied');
    const fake = await fakeKubernetes();
    fake.workload('Deployment', 'web', 2, [{ name: 'web' }]);
    const told = await (await towerOver(renamed, { KUBERNETES_CONFIG: fake.file })).recommend('web', fourDays);
    expect(patched(told.outputs!.kustomize)).toEqual(['web']);
    expect(told.notes).toContain(
      'otel-agent: injected, so not in what is to be applied; set it where it is injected from',
    );
  });

  it('when load experiments ran, which is not what production uses', async () => {
    const folder = temporaryFolder();
    const begunMs = now - 86_400_000;
    // Of another service of the namespace, which asks this one: for an hour it used ten times as much.
    const loaded = series.map((each) => {
      if (each.name !== 'container_cpu_usage_seconds_total' || each.labels['container'] !== 'web') return each;
      let more = 0;
      return {
        ...each,
        samples: each.samples.map(([ms, value]): [number, number] => {
          if (ms > begunMs && ms <= begunMs + 3_600_000) more += (5 * stepMs) / 1000;
          return [ms, value + more];
        }),
      };
    });
    const peak = async (namespace: string) => {
      const name = 'frontend_browsing_replicas_1_users_10';
      writeFileSync(join(folder, `${name}.csv`), 'timestamp\n');
      writeFileSync(
        join(folder, `${name}.json`),
        JSON.stringify({ namespace, duration_minutes: 60, collection_start: new Date(begunMs).toISOString() }),
      );
      const env = { EXPERIMENTS_DIRECTORY: folder };
      const { containers, notes } = await (await towerOver(loaded, env)).recommend('web', {
        ...fourDays,
        startup_seconds: 1500,
      });
      return { peak: containers[1]!.cpu.peak!, isTold: notes.some((note) => note.startsWith('load experiments ran')) };
    };
    const other = await peak('staging');
    expect(other.peak).toBeGreaterThan(4);
    expect(other.isTold).toBe(false);
    const own = await peak('shop');
    expect(own.peak).toBeLessThan(0.6);
    expect(own.isTold).toBe(true);
  });
});

describe('what is asked for', { timeout: 30_000 }, () => {
  it('is one replica where one does', async () => {
    const alone = withoutHpa
      .filter(({ labels }) => labels['workload'] === 'idle' || labels['pod'] === undefined || labels['pod'] === pod)
      .map((each) =>
        each.name === 'kube_deployment_spec_replicas'
          ? { ...each, samples: each.samples.map(([ms]): [number, number] => [ms, 1]) }
          : each,
      );
    const { recommend } = await towerOver(alone);
    for (const violation of [0.05, 0.01, 0.1])
      expect((await recommend('web', { ...fourDays, violation })).replicas).toMatchObject({
        current: 1,
        recommended: 1,
      });
    expect((await recommend('web', { ...fourDays, target_utilization: 0.5 })).replicas!.recommended).toBe(2);
  });

  it('is applied by kubectl as it is meant: it reads YAML 1.1', async () => {
    const { outputs } = await (await towerOver(series)).recommend('web', fourDays);
    expect(outputs!.vpa).toContain('mode: "Off"');
    expect(parse(outputs!.vpa, { version: '1.1' })).toEqual(parse(outputs!.vpa, { version: '1.2' }));
  });

  it.each([
    [{ min_cpu_cores: 100, max_cpu_cores: 1 }, 'min_cpu_cores must not be above max_cpu_cores'],
    [{ min_memory_bytes: 9e9, max_memory_bytes: 1e9 }, 'min_memory_bytes must not be above max_memory_bytes'],
    [{ min_replicas: 9, max_replicas: 3 }, 'min_replicas must not be above max_replicas'],
    [{ basis: 'usage', demand_requests_per_second: 9 }, 'demand_requests_per_second is for experiments'],
  ])('must not be at odds with itself: %o', async (body, text) => {
    const { status, body: said } = await (await towerOver(null)).call(
      '/api/v1/rightsizing/shop/web/recommendation',
      body,
    );
    expect(status).toBe(400);
    expect(said.detail).toContain(text);
  });

  it('with a cap below the floor of the settings is the cap, and says so', async () => {
    const { recommend } = await towerOver(series, { RIGHTSIZING_MIN_CPU_CORES: '4' });
    const { cpu } = (await recommend('web', { ...fourDays, max_cpu_cores: 2 })).containers[1]!;
    expect(cpu).toMatchObject({ request: 2, bound_by: 'floor' });
    expect(cpu.explanation).toMatch(/was raised to the floor, 2$/);
  });

  it('for a traffic needs experiments, and says so', async () => {
    const { capacity } = await (await towerOver(series)).recommend('web', {
      ...fourDays,
      demand_requests_per_second: 100,
    });
    expect(capacity).toMatchObject({ reason: 'there is no experiment to learn from' });
  });

  it.each([
    [Array.from({ length: 5000 }, () => null), '0 values are too few: warm-up and one horizon take 2304'],
    [[...Array.from({ length: 4000 }, () => null), ...Array.from({ length: 40 }, () => 1)], '40 values are too few'],
    [Array.from({ length: 4000 }, (_, i) => (i % 10 === 0 ? 1 : null)), 'only 400 of 3991 values are known'],
  ])('of a backtest is not made of what nobody knows', async (values, text) => {
    const { status, body } = await (await towerOver(null)).call('/api/v1/rightsizing/backtest', {
      values,
      step_seconds: 300,
    });
    expect(status).toBe(400);
    expect(body.detail).toContain(text);
  });
});

describe('recommendations of a namespace', () => {
  it('are of every kind of workload, each as what it is', { timeout: 30_000 }, async () => {
    const asStatefulSet = series.map((each) =>
      each.labels['workload'] === 'idle' ? { ...each, labels: { ...each.labels, workload_type: 'statefulset' } } : each,
    );
    const kinds = async (body: object) =>
      (
        await (
          await towerOver(asStatefulSet)
        ).call('/api/v1/rightsizing/shop/recommendations', { ...fourDays, ...body })
      ).body.recommendations?.map(({ service, kind, outputs }) => [service, kind, outputs?.kubectl.split(' ')[2]]);
    const [idle, web] = [
      ['idle', 'StatefulSet', 'statefulset'],
      ['web', 'Deployment', 'deployment'],
    ];
    expect(await kinds({})).toEqual([idle, web]);
    expect(await kinds({ kind: 'StatefulSet' })).toEqual([idle]);
    expect(await kinds({ services: ['idle'] })).toEqual([idle]);
    const plain = await towerOver([...series, state('kube_statefulset_replicas', { statefulset: 'db' }, 1)], {
      PROMETHEUS_PRESET: 'plain',
    });
    const { body } = await plain.call('/api/v1/rightsizing/shop/recommendations', fourDays);
    expect(body.recommendations.map(({ service, kind }) => [service, kind])).toEqual([
      ['db', 'StatefulSet'],
      ['idle', 'Deployment'],
      ['web', 'Deployment'],
    ]);
  });

  it('are kept where one of them takes too long, and are not asked for when nobody answers', async () => {
    const asked: string[] = [];
    const sized = (slow: string[]) =>
      createRightsizing({
        timeoutMs: 1000,
        clock: { now: () => now, sleep: async () => undefined },
        queue: { handle: () => undefined },
        prices: { currency: 'USD', cpuCoreHour: 1, memoryGibHour: 1 },
        pool: { run: async () => ({ advised: [], known: {} }) },
        history: {
          workloads: async () => ['a', 'b', 'c', 'd', 'e', 'f'].map((service) => ({ service, kind: 'Deployment' })),
          pods: async ({ service }: { service: string }) => {
            asked.push(service);
            if (slow.includes(service)) throw unavailable(`no answer for ${service}`);
            return { startMs: 0, stepMs: 1, windowMs: 1, pods: [] };
          },
          state: async () => ({ hpa: null, node: {}, unknown: [], containers: {}, replicas: 1 }),
          template: async () => null,
          tried: async () => [],
          loadPoints: async () => ({ points: [], leftOut: 0 }),
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
      'not asked: no answer for b',
      'not asked: no answer for b',
    ]);
    expect(asked).not.toContain('e');
    await expect(sized(['a', 'b', 'c', 'd', 'e', 'f'])).rejects.toThrow('no answer for a');
  });
});
