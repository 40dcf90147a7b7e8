import { leaveOut, type TriedFor } from '../experiments/load-points.ts';
import { checkWorkload, isName, type MetricQueries, queryFor, riseWindowMs, type Workload } from './metric-queries.ts';
import type { Prometheus } from './prometheus.ts';
import type { StateName } from './state-queries.ts';

/** What a workload asks for at present, as kube-state-metrics tells it. */

export type ContainerState = {
  cpuRequest: number | null;
  memoryRequest: number | null;
  cpuLimit: number | null;
  memoryLimit: number | null;
  /** The greatest limit of memory at which one of its pods was killed in the history; null where none was. */
  oomLimit: number | null;
  /** Bytes that a JVM in it may fill, its heap and what is beside that; null where nobody tells. */
  heapBytes: number | null;
};
export type Amounts = { cpuCores: number | null; memoryBytes: number | null };
export type WorkloadState = {
  containers: Record<string, ContainerState>;
  replicas: number | null;
  /** What a HorizontalPodAutoscaler scales by; `target` of a utilisation is a share of the request. */
  hpa: { name: string; metrics: { metric: string; type: string; target: number }[] } | null;
  /** Init containers. */
  nativeSidecars: string[];
  /** What the largest node has to give; null where nobody tells. */
  node: Amounts;
  /** What the LimitRanges of the namespace allow a container; null where they say nothing. */
  range: { least: Amounts; most: Amounts };
  /** What is left of the quotas of the namespace, below 0 where they are overdrawn; null where there is none. */
  quotaLeft: Amounts & { memoryLimitBytes: number | null };
  /** What could not be told. */
  unknown: StateName[];
  /** What Prometheus says of answers that may not be whole. */
  warnings: string[];
};

type Source = { prometheus: Prometheus; queries: MetricQueries; scrapeMs: number };
type Sample = { labels: Record<string, string>; value: number };

/** @throws TowerError `invalid` for names Kubernetes does not allow, `unavailable` where Prometheus does not answer */
export async function workloadState(
  source: Source,
  workload: Workload,
  { sinceMs, atMs, tried }: { sinceMs: number; atMs: number; tried: readonly TriedFor[] },
  signal?: AbortSignal,
): Promise<WorkloadState> {
  checkWorkload(workload);
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
    killsOf(source, workload, { sinceMs, atMs, tried }, warn, signal),
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
  // What was killed or has a heap may ask for nothing now.
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

/** One only: several on the same workload are at odds with each other. Not all that they scale by has a target in its series. */
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

/** Limits at which containers were killed for memory, the greatest of each. */
async function killsOf(
  { prometheus, queries, scrapeMs }: Source,
  workload: Workload,
  { sinceMs, atMs, tried }: { sinceMs: number; atMs: number; tried: readonly TriedFor[] },
  warn: (warning: string) => void,
  signal?: AbortSignal,
): Promise<Map<string, number>> {
  const stepMs = Math.max(300_000, scrapeMs);
  const query = queryFor(queries.state.oom_limits, workload, stepMs, scrapeMs);
  const { series, startMs, warnings } = await prometheus.range(query, sinceMs, atMs, stepMs, signal);
  for (const warning of warnings) warn(warning);
  const known = series.flatMap(({ labels, values }): [string, number][] => {
    // What an experiment did to it is none of production's.
    leaveOut(values, { startMs, stepMs }, tried, riseWindowMs(stepMs, scrapeMs));
    const limits = values.filter((value) => !Number.isNaN(value));
    return limits.length === 0 ? [] : [[labels['container'] ?? '', Math.max(...limits)]];
  });
  return new Map(known);
}

const ofConstraint = (samples: readonly Sample[], name: string): Sample[] =>
  samples.filter(({ labels }) => labels['constraint'] === name);

/** The least of each, under any of these names. */
function amountsOf(samples: readonly Sample[], cpu: readonly string[], memory: readonly string[]): Amounts {
  const least = (resources: readonly string[]) => {
    const own = samples.filter(({ labels }) => resources.includes(labels['resource'] ?? ''));
    return own.length === 0 ? null : Math.min(...own.map(({ value }) => value));
  };
  return { cpuCores: least(cpu), memoryBytes: least(memory) };
}

export type NamedWorkload = { service: string; kind: 'Deployment' | 'StatefulSet' | 'DaemonSet' };
const kindOf: Record<string, NamedWorkload['kind']> = { statefulset: 'StatefulSet', daemonset: 'DaemonSet' };

/** Workloads of a namespace, by name. @throws TowerError as `workloadState` */
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
    // Anybody who is scraped may write labels.
    return service === undefined || !isName(service)
      ? []
      : [{ service, kind: kindOf[labels['workload_type'] ?? ''] ?? 'Deployment' }];
  });
  const all = new Map(named.map((each) => [`${each.service} ${each.kind}`, each]));
  return [...all].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, each]) => each);
}
