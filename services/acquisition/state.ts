import { checkWorkload, type MetricQueries, queryFor, type Workload } from './metric-queries.ts';
import type { Prometheus } from './prometheus.ts';
import type { StateName } from './state-queries.ts';

/** What a workload asks for at present, as kube-state-metrics tells it. */

export type ContainerState = {
  cpuRequest: number | null;
  memoryRequest: number | null;
  cpuLimit: number | null;
  memoryLimit: number | null;
  /** The limit there is now, where one of its pods was killed for memory; null where none was. */
  oomLimit: number | null;
};
export type Amounts = { cpuCores: number | null; memoryBytes: number | null };
export type WorkloadState = {
  containers: Record<string, ContainerState>;
  replicas: number | null;
  /** A HorizontalPodAutoscaler on CPU utilisation; `targetUtilization` is a share of the request. */
  hpa: { name: string; targetUtilization: number } | null;
  /** What the largest node has to give; null where nobody tells. */
  node: Amounts;
  /** What the LimitRanges of the namespace allow a container; null where they say nothing. */
  range: { least: Amounts; most: Amounts };
  /** What is left of the quotas of the namespace, below 0 where they are overdrawn; null where there is none. */
  quotaLeft: Amounts & { memoryLimitBytes: number | null };
  /** What could not be told. */
  unknown: StateName[];
};

type Source = { prometheus: Prometheus; queries: MetricQueries; scrapeMs: number };
type Sample = { labels: Record<string, string>; value: number };

/** @throws TowerError `invalid` for names Kubernetes does not allow, `unavailable` where Prometheus does not answer */
export async function workloadState(
  source: Source,
  workload: Workload,
  atMs: number,
  signal?: AbortSignal,
): Promise<WorkloadState> {
  checkWorkload(workload);
  const ask = async (name: StateName): Promise<Sample[]> => {
    const query = queryFor(source.queries.state[name], workload, source.scrapeMs, source.scrapeMs);
    return (await source.prometheus.instant(query, atMs, signal)).filter(({ value }) => !Number.isNaN(value));
  };
  const [requests, limits, ooms, replicas, targets, nodes, ranges, quotas] = await Promise.all([
    ask('requests'),
    ask('limits'),
    ask('oom_limits'),
    ask('replicas'),
    ask('hpa_targets'),
    ask('nodes'),
    ask('limit_ranges'),
    ask('quotas'),
  ]);
  const names = new Set([...requests, ...limits].map(({ labels }) => labels['container'] ?? ''));
  const valueOf = (samples: Sample[], container: string, resource?: string) =>
    samples.find(
      ({ labels }) => labels['container'] === container && (resource === undefined || labels['resource'] === resource),
    )?.value ?? null;
  const containers = [...names].map((name): [string, ContainerState] => [
    name,
    {
      cpuRequest: valueOf(requests, name, 'cpu'),
      memoryRequest: valueOf(requests, name, 'memory'),
      cpuLimit: valueOf(limits, name, 'cpu'),
      memoryLimit: valueOf(limits, name, 'memory'),
      oomLimit: valueOf(ooms, name),
    },
  ]);
  const target = targets.find(
    ({ labels }) => labels['metric_name'] === 'cpu' && labels['metric_target_type'] === 'utilization',
  );
  return {
    containers: Object.fromEntries(containers),
    replicas: replicas[0]?.value ?? null,
    hpa: target
      ? { name: target.labels['horizontalpodautoscaler'] ?? '', targetUtilization: target.value / 100 }
      : null,
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
  };
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

/** Names of the Deployments of a namespace. @throws TowerError as `workloadState` */
export async function workloadsIn(source: Source, namespace: string, atMs: number): Promise<string[]> {
  checkWorkload({ namespace, service: 'any' });
  const query = queryFor(
    source.queries.state.workloads,
    { namespace, service: 'any' },
    source.scrapeMs,
    source.scrapeMs,
  );
  const found = await source.prometheus.instant(query, atMs);
  return [...new Set(found.flatMap(({ labels }) => labels['workload'] ?? labels['deployment'] ?? []))].sort();
}
