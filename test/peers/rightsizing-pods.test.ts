import { describe, expect, it } from 'vitest';
import type { SizeAnswer } from '#services/rightsizing/schemas.ts';
import { backfilledPrometheus, hasPrometheus } from '../support/real-prometheus.ts';
import { testTower } from '../support/tower.ts';

/** Which pods belong to a workload, and which series are duplicates: asked of a real Prometheus. */

const [minute, mib] = [60, 2 ** 20];
const hours = 49;

/** Two days of samples, one a minute, as OpenMetrics text. */
function world() {
  const families = new Map<string, string[]>();
  const end = Math.floor(Date.now() / 1000 / minute) * minute;
  const times = Array.from({ length: (hours * 3600) / minute }, (_, i) => end - hours * 3600 + i * minute);
  const put = (name: string, labels: Record<string, string>, at: (i: number) => number | null) => {
    const text = Object.entries(labels).map(([key, value]) => `${key}="${value}"`);
    const lines = times.flatMap((time, i) => {
      const value = at(i);
      return value === null ? [] : [`${name}{${text.join(',')}} ${value} ${time}`];
    });
    families.set(name, [...(families.get(name) ?? []), ...lines]);
  };
  const kubelet = { job: 'kubelet', metrics_path: '/metrics/cadvisor', image: 'x' };
  const state = { job: 'kube-state-metrics' };
  return {
    put,
    container: (
      workload: string,
      kind: string,
      pod: string,
      cores: number,
      memory: number,
      more: { container?: string; extra?: Record<string, string>; isSeen?: (i: number) => boolean } = {},
    ) => {
      const { container = 'main', extra = {}, isSeen = () => true } = more;
      const own = { namespace: 'shop', pod, container, ...extra };
      const seen = (value: (i: number) => number) => (i: number) => (isSeen(i) ? value(i) : null);
      put(
        'container_cpu_usage_seconds_total',
        { ...kubelet, ...own },
        seen((i) => cores * minute * i),
      );
      put(
        'container_memory_working_set_bytes',
        { ...kubelet, ...own },
        seen(() => memory * mib),
      );
      put(
        'kube_pod_container_resource_requests',
        { ...state, ...own, resource: 'cpu', unit: 'core' },
        seen(() => 1),
      );
      if (container !== 'main') return;
      put(
        'namespace_workload_pod:kube_pod_owner:relabel',
        { namespace: 'shop', pod, workload, workload_type: kind, ...extra },
        seen(() => 1),
      );
      const owner = { deployment: 'ReplicaSet', statefulset: 'StatefulSet', daemonset: 'DaemonSet', job: 'Job' }[kind]!;
      put(
        'kube_pod_owner',
        { ...state, namespace: 'shop', pod, owner_kind: owner, owner_name: workload, ...extra },
        seen(() => 1),
      );
    },
    text: () => `${[...families.values()].flat().join('\n')}\n# EOF\n`,
  };
}

const towerOver = async (text: string, preset: string) => {
  const url = await backfilledPrometheus(text);
  const { app } = await testTower({ PROMETHEUS_URL: url, PROMETHEUS_PRESET: preset, PROMETHEUS_SCRAPE_SECONDS: '60' });
  return async (service: string, body: object = {}) => {
    const answer = await app.inject({
      method: 'POST',
      url: `/api/v1/rightsizing/shop/${service}/recommendation`,
      payload: { history_days: 2, ...body },
    });
    return { status: answer.statusCode, body: answer.json<SizeAnswer & { detail: string }>() };
  };
};
const cores = ({ body }: { body: SizeAnswer }) => body.containers?.[0]?.cpu.request ?? null;
const memoryOf = ({ body }: { body: SizeAnswer }, container: string) =>
  (body.containers.find((each) => each.container === container)?.memory.request ?? Number.NaN) / mib;

describe.skipIf(!hasPrometheus).each(['kube-prometheus-stack', 'plain'])(
  'the pods of a workload, with the preset %s',
  (preset) => {
    it('are those of its kind, and a name that several kinds have is refused', async () => {
      const { put, container, text } = world();
      container('web', 'deployment', 'web-7d9f8b6c5d-x2x4k', 0.1, 200);
      container('web', 'statefulset', 'web-0', 3, 4096);
      for (const pod of ['web-b9c4z', 'web-k2l4m']) container('web', 'daemonset', pod, 0.5, 100);
      // A Job of a quarter of an hour, whose pods have names like those of a DaemonSet.
      container('web', 'job', 'web-v5w6x', 8, 8192, { isSeen: (i) => i % 1440 < 15 });
      const state = { job: 'kube-state-metrics', namespace: 'shop' };
      put('kube_deployment_spec_replicas', { ...state, deployment: 'web' }, () => 1);
      put('kube_statefulset_replicas', { ...state, statefulset: 'web' }, () => 3);
      put('kube_daemonset_status_desired_number_scheduled', { ...state, daemonset: 'web' }, () => 2);
      const ask = await towerOver(text(), preset);
      expect(await ask('web')).toMatchObject({
        status: 400,
        body: {
          detail: expect.stringMatching(/^shop has a DaemonSet and a Deployment and a StatefulSet named web: set kind/),
        },
      });
      const [deployment, stateful, daemon] = [
        await ask('web', { kind: 'Deployment' }),
        await ask('web', { kind: 'StatefulSet' }),
        await ask('web', { kind: 'DaemonSet' }),
      ];
      expect([cores(deployment), cores(stateful), cores(daemon)].map((value) => Math.round(10 * value!) / 10)).toEqual(
        [0.1, 3, 0.5].map((value) => expect.closeTo(value, 0.5)),
      );
      expect(memoryOf(deployment, 'main')).toBeLessThan(300);
      expect(memoryOf(daemon, 'main')).toBeLessThan(200);
      expect([deployment, stateful].map(({ body }) => body.replicas?.current)).toEqual([1, 3]);
    });

    it.each([46, 47, 52, 57, 60])('are found for a Deployment whose name has %d characters', async (length) => {
      const name = 'payments-worker'.repeat(5).slice(0, length);
      const { put, container, text } = world();
      // As Kubernetes cuts it.
      container(name, 'deployment', `${`${name}-7d9f8b6c5d-`.slice(0, 58)}x2x4k`, 0.2, 400);
      put('kube_deployment_spec_replicas', { job: 'kube-state-metrics', namespace: 'shop', deployment: name }, () => 1);
      const answer = await (await towerOver(text(), preset))(name);
      expect(answer.status).toBe(200);
      expect(cores(answer)).toBeCloseTo(0.2, 1);
    });
  },
);

describe.skipIf(!hasPrometheus)('duplicates of series', () => {
  const heap = (put: ReturnType<typeof world>['put'], extra: Record<string, string>) => {
    const own = { namespace: 'shop', pod: 'web-7d9f8b6c5d-x2x4k', container: 'main', ...extra };
    for (const [id, size] of [
      ['Eden', -1],
      ['Old Gen', 1024 * mib],
    ] as const)
      put('jvm_memory_max_bytes', { ...own, area: 'heap', id }, () => size);
    for (const [id, size] of [
      ['Metaspace', 120 * mib],
      ['CodeCache', 40 * mib],
    ] as const)
      put('jvm_memory_committed_bytes', { ...own, area: 'nonheap', id }, () => size);
  };

  it.each<[string, Record<string, string>[]]>([
    ['once', [{ job: 'web' }]],
    [
      'through two services',
      [
        { job: 'web', service: 'web' },
        { job: 'web-headless', service: 'web-headless' },
      ],
    ],
    [
      'by two Prometheus servers',
      [
        { job: 'web', prometheus_replica: 'a' },
        { job: 'web', prometheus_replica: 'b' },
      ],
    ],
    ['for each container of its pod', [{ job: 'web' }, { job: 'web', container: 'nginx' }]],
  ])('do not add up: a JVM that is scraped %s', async (_, scraped) => {
    const { put, container, text } = world();
    container('web', 'deployment', 'web-7d9f8b6c5d-x2x4k', 0.2, 600);
    container('web', 'deployment', 'web-7d9f8b6c5d-x2x4k', 0.02, 30, { container: 'nginx' });
    for (const extra of scraped) heap(put, extra);
    const answer = await (await towerOver(text(), 'kube-prometheus-stack'))('web');
    expect(memoryOf(answer, 'main')).toBeCloseTo(1184, 0);
    expect(memoryOf(answer, 'nginx')).toBeLessThan(60);
  });

  it('of two clusters are refused, unless a selector chooses one', async () => {
    const { container, text } = world();
    for (const [cluster, used] of [
      ['eu', 0.2],
      ['us', 2],
    ] as const)
      container('web', 'deployment', 'web-7d9f8b6c5d-x2x4k', used, 400, { extra: { cluster } });
    const answer = await (await towerOver(text(), 'kube-prometheus-stack'))('web');
    expect(answer).toMatchObject({
      status: 400,
      body: { detail: expect.stringMatching(/2 clusters \(eu, us\): set PROMETHEUS_SELECTOR, such as cluster="eu"/) },
    });
  });
});
