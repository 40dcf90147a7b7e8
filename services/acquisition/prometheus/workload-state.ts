import { invalid } from '#kernel/errors.ts';
import { type ExperimentWindow, leaveOut } from '../experiments/load-points.ts';
import type { MetricQueries } from './metric-queries.ts';
import type { Prometheus } from './prometheus.ts';
import type { StateName } from './state-queries.ts';
import { checkWorkload, isName, queryFor, riseWindowMs, type Workload, type WorkloadKind } from './workload-query.ts';

/** Current requests, limits and constraints of a workload, from kube-state-metrics. */

export type ContainerState = {
  cpuRequest: number | null;
  memoryRequest: number | null;
  cpuLimit: number | null;
  memoryLimit: number | null;
  /** Highest memory limit at which one of its pods was OOM-killed in the history; null without a kill. */
  oomLimit: number | null;
  /** Maximum bytes of a JVM in the container, heap and non-heap; null if unknown. */
  heapBytes: number | null;
};
export type Amounts = { cpuCores: number | null; memoryBytes: number | null };
export type WorkloadState = {
  containers: Record<string, ContainerState>;
  replicas: number | null;
  /** What a HorizontalPodAutoscaler scales by; a utilisation `target` is a share of the request. */
  hpa: { name: string; metrics: { metric: string; type: string; target: number }[] } | null;
  /** Init containers. */
  nativeSidecars: string[];
  /** Allocatable resources of the largest node; null if unknown. */
  node: Amounts;
  /** Bounds of the namespace's LimitRanges for a container; null without any. */
  range: { least: Amounts; most: Amounts };
  /** Remaining quota of the namespace, negative if exceeded; null without a quota. */
  quotaLeft: Amounts & { memoryLimitBytes: number | null };
  /** Parts of the state that could not be read. */
  unknown: StateName[];
  /** Prometheus' warnings about incomplete answers. */
  warnings: string[];
};

type Source = { prometheus: Prometheus; queries: MetricQueries; scrapeMs: number };
type Sample = { labels: Record<string, string>; value: number };

/** @throws TowerError `invalid` for names that are not valid in Kubernetes, `unavailable` without an answer */
export async function workloadState(
  source: Source,
  workload: Workload,
  {
    sinceMs,
    atMs,
    experimentWindows,
  }: { sinceMs: number; atMs: number; experimentWindows: readonly ExperimentWindow[] },
  signal?: AbortSignal,
): Promise<WorkloadState> {
  checkWorkload(workload);
  await refuseSeveralClusters(source, workload.namespace, atMs, signal);
  const warnings = new Set<string>();
  const warn = (warning: string) => void warnings.add(warning);
  const ask = async (name: StateName): Promise<Sample[]> => {
    const query = queryFor(source.queries.state[name], workload, source.scrapeMs, source.scrapeMs);
    const samples = await source.prometheus.instant(query, atMs, signal, warn);
    return samples.filter(({ value }) => !Number.isNaN(value));
  };
  const [requests, limits, kills, replicas, hpas, targets, sidecars, heaps, nodes, ranges, quotas] = await Promise.all([
    ask('requests'),
    ask('limits'),
    killsOf(source, workload, { sinceMs, atMs, experimentWindows }, warn, signal),
    ask('replicas'),
    ask('hpa'),
    ask('hpa_targets'),
    ask('native_sidecars'),
    ask('heaps'),
    ask('nodes'),
    ask('limit_ranges'),
    ask('quotas'),
  ]);
  return {
    containers: containersOf(requests, limits, kills, heaps),
    replicas: replicas[0]?.value ?? null,
    hpa: autoscalerOf(hpas, targets),
    nativeSidecars: sidecars.map(({ labels }) => labels['container'] ?? ''),
    node: amountsOf(nodes, ['cpu'], ['memory']),
    range: {
      least: amountsOf(ofConstraint(ranges, 'min'), ['cpu'], ['memory']),
      most: amountsOf(ofConstraint(ranges, 'max'), ['cpu'], ['memory']),
    },
    quotaLeft: {
      ...amountsOf(quotas, ['cpu', 'requests.cpu'], ['memory', 'requests.memory']),
      memoryLimitBytes: amountsOf(quotas, [], ['limits.memory']).memoryBytes,
    },
    unknown: [
      ...(requests.length === 0 ? (['requests'] as const) : []),
      ...(replicas.length === 0 ? (['replicas'] as const) : []),
    ],
    warnings: [...warnings],
  };
}

function containersOf(
  requests: readonly Sample[],
  limits: readonly Sample[],
  kills: ReadonlyMap<string, number>,
  heaps: readonly Sample[],
): WorkloadState['containers'] {
  const named = [...requests, ...limits, ...heaps].map(({ labels }) => labels['container'] ?? '');
  const valueOf = (samples: readonly Sample[], container: string, resource?: string) =>
    samples.find(
      ({ labels }) => labels['container'] === container && (resource === undefined || labels['resource'] === resource),
    )?.value ?? null;
  // Includes containers without requests that were OOM-killed or have a JVM.
  const containers = [...new Set([...named, ...kills.keys()])].map((name): [string, ContainerState] => [
    name,
    {
      cpuRequest: valueOf(requests, name, 'cpu'),
      memoryRequest: valueOf(requests, name, 'memory'),
      cpuLimit: valueOf(limits, name, 'cpu'),
      memoryLimit: valueOf(limits, name, 'memory'),
      oomLimit: kills.get(name) ?? null,
      heapBytes: valueOf(heaps, name),
    },
  ]);
  return Object.fromEntries(containers);
}

/**
 * Only if there is exactly one: several on one workload conflict. Some scaling metrics have no target in
 * kube-state-metrics.
 */
function autoscalerOf(hpas: readonly Sample[], targets: readonly Sample[]): WorkloadState['hpa'] {
  const name = (targets[0] ?? hpas[0])?.labels['horizontalpodautoscaler'];
  if (name === undefined) return null;
  const own = targets.filter(({ labels }) => labels['horizontalpodautoscaler'] === name);
  const metrics = own.map(({ labels, value }) => {
    const type = labels['metric_target_type'] ?? '';
    return { metric: labels['metric_name'] ?? '', type, target: type === 'utilization' ? value / 100 : value };
  });
  return { name, metrics };
}

/** Highest limit per container at which it was OOM-killed. */
async function killsOf(
  { prometheus, queries, scrapeMs }: Source,
  workload: Workload,
  {
    sinceMs,
    atMs,
    experimentWindows,
  }: { sinceMs: number; atMs: number; experimentWindows: readonly ExperimentWindow[] },
  warn: (warning: string) => void,
  signal?: AbortSignal,
): Promise<Map<string, number>> {
  const stepMs = Math.max(300_000, scrapeMs);
  const query = queryFor(queries.state.oom_limits, workload, stepMs, scrapeMs);
  const { series, startMs, warnings } = await prometheus.range(query, sinceMs, atMs, stepMs, signal);
  for (const warning of warnings) warn(warning);
  const known = series.flatMap(({ labels, values }): [string, number][] => {
    // Kills during an experiment do not count for production.
    leaveOut(values, { startMs, stepMs }, experimentWindows, riseWindowMs(stepMs, scrapeMs));
    const limits = values.filter((value) => !Number.isNaN(value));
    return limits.length === 0 ? [] : [[labels['container'] ?? '', Math.max(...limits)]];
  });
  return new Map(known);
}

const ofConstraint = (samples: readonly Sample[], name: string): Sample[] =>
  samples.filter(({ labels }) => labels['constraint'] === name);

/** The minimum per resource over several names of it. */
function amountsOf(samples: readonly Sample[], cpu: readonly string[], memory: readonly string[]): Amounts {
  const least = (resources: readonly string[]) => {
    const own = samples.filter(({ labels }) => resources.includes(labels['resource'] ?? ''));
    return own.length === 0 ? null : Math.min(...own.map(({ value }) => value));
  };
  return { cpuCores: least(cpu), memoryBytes: least(memory) };
}

/** @throws TowerError `invalid`: requests and usage of two workloads would be mixed */
async function refuseSeveralClusters(
  source: Source,
  namespace: string,
  atMs: number,
  signal?: AbortSignal,
): Promise<void> {
  const query = queryFor(
    source.queries.state.clusters,
    { namespace, service: 'any' },
    source.scrapeMs,
    source.scrapeMs,
  );
  const found = await source.prometheus.instant(query, atMs, signal);
  const clusters = found.map(({ labels }) => labels['cluster'] ?? '').sort();
  if (clusters.length > 1)
    throw invalid(
      `Prometheus has series of ${namespace} from ${clusters.length} clusters (${clusters.slice(0, 5).join(', ')}): set PROMETHEUS_SELECTOR, such as cluster="${clusters[0]}"`,
      { parameter: 'PROMETHEUS_SELECTOR' },
    );
}

export type NamedWorkload = { service: string; kind: WorkloadKind };
const kindOf: Record<string, NamedWorkload['kind']> = { statefulset: 'StatefulSet', daemonset: 'DaemonSet' };

/** Workloads of a namespace, sorted by name. @throws TowerError as `workloadState` */
export async function workloadsIn(source: Source, namespace: string, atMs: number): Promise<NamedWorkload[]> {
  checkWorkload({ namespace, service: 'any' });
  const query = queryFor(
    source.queries.state.workloads,
    { namespace, service: 'any' },
    source.scrapeMs,
    source.scrapeMs,
  );
  const found = await source.prometheus.instant(query, atMs);
  const named = found.flatMap(({ labels }): NamedWorkload[] => {
    const service = labels['workload'] ?? labels['deployment'];
    // Labels are set by the scraped targets.
    return service === undefined || !isName(service)
      ? []
      : [{ service, kind: kindOf[labels['workload_type'] ?? ''] ?? 'Deployment' }];
  });
  const all = new Map(named.map((each) => [`${each.service} ${each.kind}`, each]));
  return [...all].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, each]) => each);
}
