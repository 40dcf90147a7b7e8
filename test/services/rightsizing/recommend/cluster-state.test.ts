import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { fakeKubernetes } from '../../../fakes/kubernetes.ts';
import type { Sampled } from '../../../support/cluster-series.ts';
import { now, series, stepMs, towerOver, withoutHpa } from '../../../support/sized-tower.ts';
import { temporaryDirectory } from '../../../support/tower.ts';

/** A current sample of kube-state-metrics. */
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

describe('a recommendation uses the cluster state', { timeout: 30_000 }, () => {
  it("to change an autoscaler's memory target, and to report other metrics", async () => {
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
    expect(notes).toContain('the autoscaler web scales by queue (average), which does not depend on requests');
  });

  it('to fit the JVM heap, and says how to lower it', async () => {
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
    expect(notes.find((note) => note.startsWith('web: with less memory the container would be OOM-killed'))).toContain(
      'set -Xmx',
    );
  });

  it('to fit a pod on one node', async () => {
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
    // In whole millicores, as written.
    expect(small[0]!.request! + small[1]!.request!).toBeLessThanOrEqual(0.4);
    expect(small[0]!.request! + small[1]!.request!).toBeGreaterThan(0.397);
    expect(small[0]!.request! / small[1]!.request!).toBeCloseTo(0.2 / web!.request!, 1);
  });

  it('to identify injected and init containers', async () => {
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
    expect(native.notes).toContain('otel-agent: an init container, so not part of the outputs');
    const fake = await fakeKubernetes();
    fake.workload('Deployment', 'web', 2, [{ name: 'web' }]);
    // Also if the workload could not be changed.
    fake.add('/apis/autoscaling.k8s.io/v1/namespaces/shop/verticalpodautoscalers', {
      metadata: { name: 'web' },
      spec: { targetRef: { kind: 'Deployment', name: 'web' }, updatePolicy: { updateMode: 'Auto' } },
    });
    const told = await (await towerOver(renamed, { KUBERNETES_CONFIG: fake.file })).recommend('web', fourDays);
    expect(patched(told.outputs!.kustomize)).toEqual(['web']);
    expect(told.notes).toContain(
      'otel-agent: injected sidecar, so not part of the outputs; set its resources where it is configured',
    );
    fake.failure(({ path }) => (path.includes('/apps/') ? { status: 403, body: { message: 'no' } } : undefined));
    const refused = await (await towerOver(renamed, { KUBERNETES_CONFIG: fake.file })).recommend('web', fourDays);
    expect(refused.notes.find((note) => note.startsWith('the cluster’s template is unavailable'))).toContain(
      'Kubernetes: trouble',
    );
  });

  it('to exclude load experiments', async () => {
    const directory = temporaryDirectory();
    const startedMs = now - 86_400_000;
    // A test of another service of the namespace, which calls this one: ten times the usage for an hour.
    const loaded = series.map((each) => {
      if (each.name !== 'container_cpu_usage_seconds_total' || each.labels['container'] !== 'web') return each;
      let more = 0;
      return {
        ...each,
        samples: each.samples.map(([ms, value]): [number, number] => {
          if (ms > startedMs && ms <= startedMs + 3_600_000) more += (5 * stepMs) / 1000;
          return [ms, value + more];
        }),
      };
    });
    const peak = async (namespace: string, minutes = 60) => {
      const name = 'frontend_browsing_replicas_1_users_10';
      writeFileSync(join(directory, `${name}.csv`), 'timestamp\n');
      writeFileSync(
        join(directory, `${name}.json`),
        JSON.stringify({ namespace, duration_minutes: minutes, collection_start: new Date(startedMs).toISOString() }),
      );
      const env = { EXPERIMENTS_DIRECTORY: directory };
      const { containers, notes } = await (await towerOver(loaded, env)).recommend('web', {
        ...fourDays,
        startup_seconds: 1500,
      });
      return {
        peak: containers[1]!.cpu.peak!,
        notes,
        isTold: notes.some((note) => note.startsWith('load experiments ran')),
      };
    };
    const other = await peak('staging');
    expect(other.peak).toBeGreaterThan(4);
    expect(other.isTold).toBe(false);
    const own = await peak('shop');
    expect(own.peak).toBeLessThan(0.6);
    expect(own.isTold).toBe(true);
    // A pod seen until the current experiment started still exists.
    const untilNow = await peak('shop', 1440);
    expect(untilNow.notes.some((note) => note.startsWith('no pod of it was seen'))).toBe(false);
    expect(untilNow.peak).toBeLessThan(0.6);
  });
});
