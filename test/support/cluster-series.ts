import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import Fastify from 'fastify';
import { serializerCompiler } from 'fastify-type-provider-zod';
import { validatorCompiler } from '#http/errors.ts';
import { normal, seededRandom } from '#kernel/rng.ts';
import { analyticsPromqlRoutes } from '#routes/analytics-promql.ts';
import { fakeKubernetes } from '../fakes/kubernetes.ts';
import { analyticsAt } from './analytics.ts';
import { whenTestIsOver } from './cleanup.ts';
import { testNow } from './sources.ts';
import { temporaryDirectory } from './tower.ts';

/** Prometheus series of a small cluster, for a fake server and a real one. */

export type Sampled = { name: string; labels: Record<string, string>; samples: [ms: number, value: number][] };

const day = 86_400_000;

/** Cores used by a pod of `web`: a daily cycle with proportional noise. */
export const webCores = (ms: number, noise: number): number =>
  (0.2 + 0.1 * Math.sin((2 * Math.PI * ms) / day)) * Math.exp(0.1 * noise);

/**
 * Namespace `shop`: `web` with two pods of which one was replaced half-way, a sidecar, an autoscaler and an OOM-killed
 * pod; `idle` without load. Container, kube-state and network series with the labels of kube-prometheus-stack.
 */
export function clusterSeries(endMs: number, days: number, stepMs: number): Sampled[] {
  const [startMs, middleMs] = [endMs - days * day, endMs - (days * day) / 2];
  const pods = [
    { pod: 'web-7d9f8b6c5d-bbbbb', fromMs: startMs, toMs: middleMs, seed: 1 },
    { pod: 'web-7d9f8b6c5d-ccccc', fromMs: middleMs + stepMs, toMs: endMs, seed: 2 },
    { pod: 'web-7d9f8b6c5d-ddddd', fromMs: startMs, toMs: endMs, seed: 3 },
  ];
  const all: Sampled[] = pods.flatMap(({ pod, fromMs, toMs, seed }) => ofPod('web', pod, fromMs, toMs, stepMs, seed));
  all.push(...ofPod('idle', 'idle-5c6d7f8f9b-fffff', startMs, endMs, stepMs, null));
  const now = (name: string, labels: Record<string, string>, value: number) =>
    all.push({
      name,
      labels: { job: 'kube-state-metrics', namespace: 'shop', ...labels },
      samples: lastHour(endMs, value),
    });
  now('kube_deployment_spec_replicas', { deployment: 'web' }, 2);
  now('kube_deployment_status_replicas_available', { deployment: 'web' }, 2);
  now('kube_deployment_spec_replicas', { deployment: 'idle' }, 1);
  now(
    'kube_horizontalpodautoscaler_info',
    { horizontalpodautoscaler: 'web', scaletargetref_kind: 'Deployment', scaletargetref_name: 'web' },
    1,
  );
  now(
    'kube_horizontalpodautoscaler_spec_target_metric',
    { horizontalpodautoscaler: 'web', metric_name: 'cpu', metric_target_type: 'utilization' },
    60,
  );
  for (const [resource, value] of Object.entries({ cpu: 4, memory: 16 * 2 ** 30 }))
    now('kube_node_status_allocatable', { node: 'node-1', resource }, value);
  return all;
}

function ofPod(
  workload: string,
  pod: string,
  fromMs: number,
  toMs: number,
  stepMs: number,
  seed: number | null,
): Sampled[] {
  const base = { namespace: 'shop', pod };
  const cadvisor = {
    ...base,
    job: 'kubelet',
    metrics_path: '/metrics/cadvisor',
    container: workload,
    image: `${workload}:1`,
  };
  const random = seededRandom(seed ?? 1);
  const [cpu, memory, sidecar]: Sampled['samples'][] = [[], [], []];
  let used = 0;
  for (let ms = fromMs; ms <= toMs; ms += stepMs) {
    // A pod starts with ten times its usage.
    const cores = seed === null ? 0 : webCores(ms, normal(random)) * (ms === fromMs + stepMs && seed === 2 ? 10 : 1);
    used += (cores * stepMs) / 1000;
    cpu!.push([ms, used]);
    memory!.push([ms, seed === null ? 1e6 : 80e6 + 10e6 * random()]);
    sidecar!.push([ms, (0.004 * (ms - fromMs)) / 1000]);
  }
  const requests = (container: string, resource: string, value: number): Sampled => ({
    name: 'kube_pod_container_resource_requests',
    labels: { ...base, job: 'kube-state-metrics', container, resource },
    samples: lastHour(toMs, value),
  });
  const common: Sampled[] = [
    { name: 'container_cpu_usage_seconds_total', labels: cadvisor, samples: cpu! },
    { name: 'container_memory_working_set_bytes', labels: cadvisor, samples: memory! },
    {
      name: 'namespace_workload_pod:kube_pod_owner:relabel',
      labels: { ...base, workload, workload_type: 'deployment' },
      samples: [
        ...cpu!.flatMap(([ms]): Sampled['samples'] => (ms < toMs - 3_600_000 ? [[ms, 1]] : [])),
        ...lastHour(toMs, 1),
      ],
    },
    {
      name: 'container_network_receive_bytes_total',
      labels: { ...base, job: 'kubelet', metrics_path: '/metrics/cadvisor', interface: 'eth0' },
      samples: cpu!.map(([ms], i) => [ms, i * 1000]),
    },
    requests(workload, 'cpu', 0.5),
    requests(workload, 'memory', 256 * 2 ** 20),
  ];
  if (seed === null) return common;
  return [
    ...common,
    {
      name: 'container_cpu_usage_seconds_total',
      labels: { ...cadvisor, container: 'istio-proxy', image: 'proxy:1' },
      samples: sidecar!,
    },
    {
      name: 'container_memory_working_set_bytes',
      labels: { ...cadvisor, container: 'istio-proxy', image: 'proxy:1' },
      samples: cpu!.map(([ms]) => [ms, 40e6]),
    },
    requests('istio-proxy', 'cpu', 0.1),
    requests('istio-proxy', 'memory', 128 * 2 ** 20),
  ];
}

/** Every four minutes and a little beyond: instant queries may run slightly later. */
const lastHour = (endMs: number, value: number): Sampled['samples'] =>
  Array.from({ length: 19 }, (_, i) => [endMs + (i - 15) * 240_000, value]);

const quoted = (text: string): string => JSON.stringify(text);
const labelsOf = (labels: Record<string, string>): string =>
  `{${Object.entries(labels)
    .map(([name, value]) => `${name}=${quoted(value)}`)
    .join(',')}}`;

/** Lines of the text format, timestamps in milliseconds; OpenMetrics has seconds and ends with EOF. */
export function exposition(series: readonly Sampled[], openMetrics = false): string {
  const named = Map.groupBy(series, ({ name }) => name);
  const lines = [...named].flatMap(([name, each]) => [
    ...(openMetrics ? [`# TYPE ${name.replace(/_total$/, '')} ${name.endsWith('_total') ? 'counter' : 'gauge'}`] : []),
    ...each.flatMap(({ labels, samples }) =>
      samples.map(([ms, value]) => `${name}${labelsOf(labels)} ${value} ${openMetrics ? ms / 1000 : ms}`),
    ),
  ]);
  return `${lines.join('\n')}\n${openMetrics ? '# EOF\n' : ''}`;
}

/**
 * An instance with Prometheus' API over those series; other tests compare its answers with Prometheus.
 * @returns its URL
 */
export async function prometheusOver(series: readonly Sampled[], nowMs: number): Promise<string> {
  const clock = { now: () => nowMs, sleep: async () => undefined };
  // Without an instance around it, and without threads, which would start anew for each test.
  const { analytics } = analyticsAt(clock, temporaryDirectory(), 10_000);
  for (const each of series)
    for (let from = 0; from < each.samples.length; from += 5_000)
      await analytics.takeText(exposition([{ ...each, samples: each.samples.slice(from, from + 5_000) }]));
  const app = Fastify()
    .setValidatorCompiler(validatorCompiler as never)
    .setSerializerCompiler(serializerCompiler);
  await app.register(analyticsPromqlRoutes, { analytics, version: '0' });
  whenTestIsOver(() => app.close());
  return `${await app.listen({ host: '127.0.0.1', port: 0 })}/prometheus`;
}

/** The same, with a warning of incompleteness in each answer, as Thanos gives while a store is unavailable. */
export async function cautiousPrometheus(url: string, warning: string): Promise<string> {
  const server = createServer((request, response) => {
    void (async () => {
      const answer = await fetch(`${url}${request.url}`);
      const body = { ...((await answer.json()) as object), warnings: [warning] };
      response.writeHead(answer.status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
    })();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  whenTestIsOver(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/**
 * Settings of an instance with a cluster whose Prometheus has two days of the small cluster's series.
 * @param metrics - metrics of the autoscaler there; none: no autoscaler, whatever Prometheus says
 * @param endMs - end of the series: the time by the instance's clock
 */
export async function clusteredEnv(metrics: object[] = [], endMs = testNow()): Promise<Record<string, string>> {
  const nowMs = Math.floor(endMs / 600_000) * 600_000;
  const fake = await fakeKubernetes();
  fake.workload('Deployment', 'web', 2, [{ name: 'web', resources: { requests: { cpu: '500m', memory: '256Mi' } } }]);
  const hpa = { scaleTargetRef: { kind: 'Deployment', name: 'web' }, metrics };
  if (metrics.length > 0)
    fake.add('/apis/autoscaling/v2/namespaces/shop/horizontalpodautoscalers', { metadata: { name: 'web' }, spec: hpa });
  return {
    KUBERNETES_CONFIG: fake.file,
    KUBERNETES_NAMESPACES: 'shop',
    LOAD_TARGETS: 'http://127.0.0.1:9',
    PROMETHEUS_URL: await prometheusOver(clusterSeries(nowMs, 2, 600_000), nowMs),
    PROMETHEUS_SCRAPE_SECONDS: '600',
  };
}
