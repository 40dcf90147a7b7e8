import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { riseWindowMs } from '#services/acquisition/prometheus/workload-query.ts';
import type { Sampled } from '../../../support/cluster-series.ts';
import { cautiousPrometheus, prometheusOver } from '../../../support/cluster-series.ts';

import { now, series, stepMs, towerOver, withoutHpa } from '../../../support/sized-tower.ts';

/** Recommendations must not forget kills or trust incomplete data. */

const fourDays = { history_days: 4 };
const state = (name: string, labels: Record<string, string>, value: number, ms = now - 60_000): Sampled => ({
  name,
  labels: { job: 'kube-state-metrics', namespace: 'shop', ...labels },
  samples: [[ms, value]],
});
const [pod, container] = ['web-7d9f8b6c5d-ddddd', 'web'];
const containerOf = async (given: Sampled[], name = 'web', asked: object = fourDays) => {
  const answer = await (await towerOver(given)).recommend('web', asked);
  return { ...answer.containers.find((each) => each.container === name)!, answer };
};

/** An out-of-memory kill, with the limit of that time, which is gone by now. */
function kill(atMs: number, limit: number): Sampled[] {
  const of = (name: string, labels: object, samples: Sampled['samples']): Sampled => ({
    name,
    labels: { job: 'kube-state-metrics', namespace: 'shop', pod, container, ...labels },
    samples,
  });
  const steps = (from: number, to: number, value: (ms: number) => number) =>
    Array.from({ length: Math.floor((to - from) / stepMs) + 1 }, (_, i): [number, number] => [
      from + i * stepMs,
      value(from + i * stepMs),
    ]);
  const [from, to] = [atMs - 12 * 3_600_000, atMs + 12 * 3_600_000];
  return [
    of(
      'kube_pod_container_resource_limits',
      { resource: 'memory' },
      steps(from, to, () => limit),
    ),
    of(
      'kube_pod_container_status_last_terminated_reason',
      { reason: 'OOMKilled' },
      steps(atMs, to, () => 1),
    ),
    of(
      'kube_pod_container_status_restarts_total',
      {},
      steps(from, now, (ms) => (ms >= atMs ? 1 : 0)),
    ),
  ];
}

describe('a recommendation considers', { timeout: 30_000 }, () => {
  const bare = withoutHpa.filter(({ name }) => name !== 'kube_pod_container_resource_requests');

  it('an OOM kill or a heap of a container without requests', async () => {
    const { memory } = await containerOf([...bare, ...kill(now - 86_400_000, 512 * 2 ** 20)]);
    expect(memory).toMatchObject({ bound_by: 'oom', current_request: null });
    expect(memory.request).toBeCloseTo(1.2 * 512 * 2 ** 20, -1);
    const heap = [
      state('jvm_memory_max_bytes', { pod, container, area: 'heap', id: 'all' }, 2 ** 30),
      state('jvm_memory_committed_bytes', { pod, container, area: 'nonheap', id: 'all' }, 2 ** 27),
    ];
    expect((await containerOf([...bare, ...heap])).memory).toMatchObject({
      bound_by: 'heap',
      request: 2 ** 30 + 2 ** 27,
    });
  });

  it('an OOM kill at any moment between scrapes', () => {
    fc.assert(
      fc.property(fc.constantFrom(10, 15, 30, 60, 120), fc.nat(3_600), fc.nat(119), (scrape, at, offset) => {
        const stepMs = 300_000;
        const windowMs = riseWindowMs(stepMs, scrape * 1000);
        const [before, after] = [Math.floor((at - offset) / scrape), Math.floor((at - offset) / scrape) + 1].map(
          (i) => (i * scrape + offset) * 1000,
        ) as [number, number];
        const look = Math.ceil(after / stepMs) * stepMs;
        expect(look - windowMs).toBeLessThan(before);
      }),
    );
  });

  it('an OOM kill with a lower cap, and states no confidence', async () => {
    const { memory } = await containerOf([...withoutHpa, ...kill(now - 86_400_000, 512 * 2 ** 20)], 'web', {
      ...fourDays,
      max_memory_bytes: 400 * 2 ** 20,
    });
    expect(memory).toMatchObject({ request: 400 * 2 ** 20, bound_by: 'cap', confidence: null });
    expect(memory.explanation).toMatch(
      /was raised above the limit at which a pod was OOM-killed, 614 MiB, which was lowered to the cap, 400 MiB: the stated share is not met$/,
    );
  });

  it('the algorithm of another strategy, and the pods', async () => {
    const { cpu } = await containerOf(withoutHpa, 'web', { ...fourDays, strategy: 'krr_simple_limit' });
    expect(cpu.explanation).toMatch(
      /^by strategy krr_simple_limit \(CPU: 66th percentile of 14 days of all pods together; .*\); 3 pods, \d+ samples/,
    );
  });

  it('an autoscaler with unknown metrics', async () => {
    const info = series.filter(({ name }) => name === 'kube_horizontalpodautoscaler_info');
    const { answer } = await containerOf([...withoutHpa, ...info]);
    expect(answer.replicas).toMatchObject({ recommended: null, explanation: 'the autoscaler web decides' });
    expect(answer.notes).toContain('the autoscaler web scales by a metric that kube-state-metrics does not have');
  });
});

describe('a recommendation does not trust', { timeout: 30_000 }, () => {
  it('an incomplete result: it says so, and is not applied', async () => {
    const { recommend } = await towerOver(null, {
      PROMETHEUS_URL: await cautiousPrometheus(await prometheusOver(withoutHpa, now), 'store eu-2 is away'),
    });
    const { status, warnings, notes } = await recommend('web', fourDays);
    expect([status, warnings]).toEqual(['success', ['store eu-2 is away']]);
    expect(notes).toContain('Prometheus warns that a result may be incomplete: store eu-2 is away');
    // The result may be incomplete.
    const { reason } = await recommend('elsewhere', fourDays);
    expect(reason).toBe(
      'Prometheus has no container of the workload in the last 4 days; but it warns that a result may be incomplete: store eu-2 is away',
    );
  });

  it('savings of a sidecar that is not applied', async () => {
    const { answer } = await containerOf(withoutHpa);
    const [proxy, web] = answer.containers;
    const { cpu_core_hour, memory_gib_hour, monthly_saving } = answer.cost;
    const worth = (cores: number, bytes: number) => cores * cpu_core_hour + (bytes / 2 ** 30) * memory_gib_hour;
    expect(proxy!.cpu.request).not.toBeCloseTo(proxy!.cpu.current_request!, 2);
    const own = worth(0.5 - web!.cpu.request!, 256 * 2 ** 20 - web!.memory.request!);
    expect(monthly_saving).toBeCloseTo(730 * 2 * own, 6);
  });

  it('a finished init container', async () => {
    const migrate = (name: string, value: (i: number) => number): Sampled => ({
      name,
      labels: {
        namespace: 'shop',
        pod,
        job: 'kubelet',
        metrics_path: '/metrics/cadvisor',
        container: 'migrate',
        image: 'web:1',
      },
      samples: Array.from({ length: 3 }, (_, i) => [now - 5_100_000 + i * 300_000, value(i)]),
    });
    const began = [
      migrate('container_cpu_usage_seconds_total', (i) => i * 60),
      migrate('container_memory_working_set_bytes', () => 5e7),
      state('kube_pod_init_container_info', { pod, container: 'migrate' }, 1),
    ];
    const { answer } = await containerOf([...withoutHpa, ...began]);
    expect(answer.containers.map((each) => each.container)).toEqual(['istio-proxy', 'web']);
    expect(answer.replicas!.recommended).not.toBeNull();
    expect(answer.cost.monthly_saving).not.toBeNull();
  });

  it("the start of Prometheus' retention as a pod start", async () => {
    const edge = now - 3 * 86_400_000;
    const kept = withoutHpa
      .filter(({ labels }) => labels['pod'] !== 'web-7d9f8b6c5d-ccccc')
      .map((each) =>
        each.name === 'container_cpu_usage_seconds_total' && each.labels['container'] === 'web'
          ? {
              ...each,
              samples: each.samples.flatMap(([ms, value]): Sampled['samples'] =>
                ms < edge ? [] : [[ms, value + (ms > edge ? 1200 : 0)]],
              ),
            }
          : each,
      );
    expect((await containerOf(kept)).startup_peak_cores).toBeNull();
    expect((await containerOf(withoutHpa)).startup_peak_cores).toBeGreaterThan(0.5);
  });

  it('a name that a shell could execute', async () => {
    const label = {
      name: 'namespace_workload_pod:kube_pod_owner:relabel',
      labels: { namespace: 'shop', pod: 'x', workload: 'x\ntouch /tmp/y #', workload_type: 'deployment' },
      samples: [[now - 60_000, 1]] as [number, number][],
    };
    const { call } = await towerOver([...withoutHpa, label]);
    const { body } = await call('/api/v1/rightsizing/shop/recommendations', {});
    expect([...body.recommendations, ...body.failures].map(({ service }) => service).sort()).toEqual(['idle', 'web']);
  });
});
