import { z } from 'zod';
import { invalid } from '#kernel/errors.ts';
import type { Mesh, Preset } from './presets.ts';
import { replicasWanted, type StateName, stateNames, stateQueries } from './state-queries.ts';

/**
 * Prometheus queries about a workload. The source of its series differs between clusters: presets cover common ones, a
 * file covers the rest.
 */

/**
 * `pods`: one series per pod and container of the workload; `columns`: one series each, with the documented names and
 * more.
 */
export type MetricQueries = {
  columns: Record<ColumnName, Column>;
  pods: Record<PodSeries, string>;
  state: Record<StateName, string>;
};
export type Column = { unit: string; query: string };

export const columnNames = [
  'cpu_cores',
  'mem_bytes',
  'net_rx_bytes',
  'net_tx_bytes',
  'pod_restarts',
  'replica_count',
  'node_cpu_util',
  'node_mem_util',
  'mem_peak_bytes',
  'cpu_throttle_ratio',
  'oom_kills',
  'fs_bytes',
  'request_rate',
  'error_ratio',
  'latency_p95_ms',
  'pods_ready',
  'cpu_request_cores',
  'mem_request_bytes',
  'cpu_pressure_ratio',
  'cpu_limit_cores',
  'mem_limit_bytes',
  'replicas_wanted',
] as const;
export type ColumnName = (typeof columnNames)[number];

export const podSeries = ['cpu', 'memory', 'throttled'] as const;
export type PodSeries = (typeof podSeries)[number];
/** Label matchers of each source; the preset's if undefined. */
export type Sources = { cadvisor: string | undefined; kubeState: string | undefined };

/**
 * Placeholders. `$A`: matchers of cAdvisor, `$S`: of kube-state-metrics. `$C`: container series of cAdvisor; `$N`: its
 * network series, which belong to the pod; `$K`: kube-state-metrics; `$J`: join that keeps only the workload's pods,
 * including deleted ones.
 */
const selectorsOf: Record<Preset, Record<'A' | 'S' | 'C' | 'N' | 'K' | 'J', string>> = {
  'kube-prometheus-stack': {
    A: 'job="kubelet",metrics_path="/metrics/cadvisor"',
    S: 'job="kube-state-metrics"',
    C: '$A,namespace="$ns",container!="",image!=""$x',
    N: '$A,namespace="$ns"$x',
    K: '$S,namespace="$ns"$x',
    J: ' * on(namespace,pod) group_left(workload) max by(namespace,pod,workload)(namespace_workload_pod:kube_pod_owner:relabel{namespace="$ns",workload="$svc",workload_type$type$x})',
  },
  plain: {
    A: '',
    S: '',
    C: '$A,namespace="$ns",container!="",container!="POD",pod=~"$pods"$x',
    N: '$A,namespace="$ns",pod=~"$pods"$x',
    K: '$S,namespace="$ns"$x',
    // By name, without the pods that something else owns. Without kube-state-metrics only the names decide.
    J: ' unless on(namespace,pod) max by(namespace,pod)(kube_pod_owner{$K$kp,owner_kind!~"$owners"})',
  },
};

const containers = (inner: string) => `max by(namespace,pod,container)(${inner}) $J`;

/** Increase over four scrapes, or over the step and two scrapes, whichever is longer. */
const increase = (metric: string) => `max by(namespace,pod,container)(increase(${metric}{$C}[$r])) $J`;
const throttled = (sum: string) =>
  `${sum}(${increase('container_cpu_cfs_throttled_periods_total')}) / ${sum}(${increase('container_cpu_cfs_periods_total')})`;

const devices = (metric: string) => `max by(namespace,pod,container,device)(rate(${metric}{$C}[$w])) $J`;

const sumOfResources = (part: 'requests' | 'limits', resource: 'cpu' | 'memory') =>
  `sum(max by(namespace,pod,container)(kube_pod_container_resource_${part}{$K$kp,resource="${resource}"}) $J)`;

/**
 * Node metrics cover all nodes: restricting them to the nodes of the workload's pods needs a join that few clusters can
 * answer.
 */
const common: Record<Exclude<ColumnName, 'request_rate' | 'error_ratio' | 'latency_p95_ms'>, Column> = {
  cpu_cores: { unit: 'cores', query: `sum(${containers('rate(container_cpu_usage_seconds_total{$C}[$w])')})` },
  mem_bytes: { unit: 'bytes', query: `sum(${containers('container_memory_working_set_bytes{$C}')})` },
  net_rx_bytes: {
    unit: 'bytes/s',
    query: 'sum(max by(namespace,pod,interface)(rate(container_network_receive_bytes_total{$N}[$w])) $J)',
  },
  net_tx_bytes: {
    unit: 'bytes/s',
    query: 'sum(max by(namespace,pod,interface)(rate(container_network_transmit_bytes_total{$N}[$w])) $J)',
  },
  pod_restarts: {
    unit: 'restarts in four scrapes, or in the step and two scrapes if that is longer',
    query: 'sum(max by(namespace,pod,container)(increase(kube_pod_container_status_restarts_total{$K$kp}[$r])) $J)',
  },
  replica_count: {
    unit: 'replicas',
    query:
      'max(kube_deployment_status_replicas_available{$K,deployment="$svc"$isDep} or kube_statefulset_status_replicas_available{$K,statefulset="$svc"$isSts})',
  },
  node_cpu_util: { unit: '%', query: '100 * (1 - avg(rate(node_cpu_seconds_total{mode="idle"$x}[$w])))' },
  node_mem_util: {
    unit: '%',
    query:
      '100 * (1 - sum(max by(instance)(node_memory_MemAvailable_bytes{instance=~".*"$x})) / sum(max by(instance)(node_memory_MemTotal_bytes{instance=~".*"$x})))',
  },
  mem_peak_bytes: {
    unit: 'bytes',
    query: `max(sum by(pod)(${containers('max_over_time(container_memory_working_set_bytes{$C}[$s])')}))`,
  },
  cpu_throttle_ratio: {
    unit: 'share',
    query: throttled('sum'),
  },
  oom_kills: {
    unit: 'kills in four scrapes, or in the step and two scrapes if that is longer',
    // Without cAdvisor's OOM events: a container that restarted and whose last termination was OOMKilled.
    query: `sum(${increase('container_oom_events_total')}) or sum(((max by(namespace,pod,container)(increase(kube_pod_container_status_restarts_total{$K$kp}[$r])) > 0) * on(namespace,pod,container) max by(namespace,pod,container)(kube_pod_container_status_last_terminated_reason{$K$kp,reason="OOMKilled"})) $J)`,
  },
  fs_bytes: {
    unit: 'bytes/s',
    query: `sum(${devices('container_fs_reads_bytes_total')}) + sum(${devices('container_fs_writes_bytes_total')})`,
  },
  pods_ready: {
    unit: 'pods',
    query: 'count((max by(namespace,pod)(kube_pod_status_ready{$K$kp,condition="true"}) == 1) $J)',
  },
  cpu_request_cores: { unit: 'cores', query: sumOfResources('requests', 'cpu') },
  mem_request_bytes: { unit: 'bytes', query: sumOfResources('requests', 'memory') },
  cpu_limit_cores: { unit: 'cores, of containers with a limit', query: sumOfResources('limits', 'cpu') },
  mem_limit_bytes: { unit: 'bytes, of containers with a limit', query: sumOfResources('limits', 'memory') },
  replicas_wanted: { unit: 'replicas', query: replicasWanted },
  cpu_pressure_ratio: {
    unit: 's/s',
    query: `max(${containers('rate(container_pressure_cpu_waiting_seconds_total{$C}[$w])')})`,
  },
};

/** Duplicates of a series: scraped by two Prometheus servers, or by two jobs. */
const once = (inner: string) => `max without(prometheus,prometheus_replica,replica,job,service,endpoint)(${inner})`;
const istio = 'reporter="destination",destination_workload_namespace="$ns",destination_workload="$svc"$x';
const requests: Record<Mesh, Record<'request_rate' | 'error_ratio' | 'latency_p95_ms', Column>> = {
  none: {
    request_rate: { unit: '1/s', query: '' },
    error_ratio: { unit: 'share', query: '' },
    latency_p95_ms: { unit: 'ms', query: '' },
  },
  istio: {
    request_rate: { unit: '1/s', query: `sum(${once(`rate(istio_requests_total{${istio}}[$w])`)})` },
    error_ratio: {
      unit: 'share',
      // A failed gRPC call has HTTP status 200.
      query: `((sum(${once(`rate(istio_requests_total{${istio},response_code=~"5.."}[$w])`)}) or vector(0)) + (sum(${once(`rate(istio_requests_total{${istio},response_code!~"5..",grpc_response_status!~"0|"}[$w])`)}) or vector(0))) / sum(${once(`rate(istio_requests_total{${istio}}[$w])`)})`,
    },
    latency_p95_ms: {
      unit: 'ms',
      query: `histogram_quantile(0.95, sum by(le)(${once(`rate(istio_request_duration_milliseconds_bucket{${istio}}[$w])`)}))`,
    },
  },
};

const pods: MetricQueries['pods'] = {
  cpu: `sum by(pod,container)(${containers('rate(container_cpu_usage_seconds_total{$C}[$w])')})`,
  memory: `max by(pod,container)(${containers('max_over_time(container_memory_working_set_bytes{$C}[$s])')})`,
  throttled: throttled('sum by(pod)'),
};

const text = z.string('must be a PromQL expression').max(4000);
/** Queries that a file may replace: any column or pod series. */
const QueryFile = z.strictObject({
  columns: z
    .partialRecord(z.enum(columnNames), z.strictObject({ unit: z.string().optional(), query: text }))
    .default({}),
  pods: z.partialRecord(z.enum(podSeries), text).default({}),
  state: z.partialRecord(z.enum(stateNames), text).default({}),
});

/**
 * Queries of a preset and a mesh, with those replaced that a YAML or JSON file defines.
 * @param selector - additional matchers of every series, such as `cluster="eu1"`
 * @throws TowerError `invalid` for a file that breaks a rule
 */
export async function metricQueries(
  preset: Preset,
  mesh: Mesh,
  file: string | null,
  selector: string,
  sources: Sources = { cadvisor: undefined, kubeState: undefined },
): Promise<MetricQueries> {
  const fill = (query: string) => {
    const { A, S, C, N, K, J } = selectorsOf[preset];
    const of = (selector: string) => (selector === '' ? '' : `${selector},`);
    const ofPods = preset === 'plain' ? ',pod=~"$pods"' : '';
    return query
      .replaceAll('$C', C)
      .replaceAll('$N', N)
      .replaceAll('$J', J)
      .replaceAll('$K', K)
      .replaceAll('$kp', ofPods)
      .replaceAll('$A,', of(sources.cadvisor ?? A))
      .replaceAll('$S,', of(sources.kubeState ?? S))
      .replaceAll('$x', selector === '' ? '' : `,${selector}`);
  };
  const given = file === null ? { columns: {}, pods: {}, state: {} } : await readQueries(file);
  const columns = Object.entries({ ...common, ...requests[mesh] }).map(([name, column]): [string, Column] => {
    const own = given.columns[name as ColumnName];
    return [name, { unit: own?.unit ?? column.unit, query: fill(own?.query ?? column.query) }];
  });
  return {
    columns: Object.fromEntries(columns) as Record<ColumnName, Column>,
    pods: byName(podSeries, (name) => fill(given.pods[name] ?? pods[name])),
    state: byName(stateNames, (name) => fill(given.state[name] ?? stateQueries[name](preset))),
  };
}

const byName = <Name extends string>(names: readonly Name[], of: (name: Name) => string): Record<Name, string> =>
  Object.fromEntries(names.map((name) => [name, of(name)])) as Record<Name, string>;

async function readQueries(file: string) {
  const { parse } = await import('yaml');
  let read: unknown;
  try {
    read = parse(file);
  } catch (error) {
    throw invalid(`PROMETHEUS_QUERIES_FILE is not valid YAML: ${(error as Error).message.split('\n')[0]}`, {
      parameter: 'PROMETHEUS_QUERIES_FILE',
    });
  }
  const parsed = QueryFile.safeParse(read ?? {});
  if (parsed.success) return parsed.data;
  const rules = parsed.error.issues.map((issue) => {
    const at = issue.path.join('.') || 'the file';
    const known = { columns: columnNames, pods: podSeries, state: stateNames }[at] ?? ['columns', 'pods', 'state'];
    return issue.code === 'unrecognized_keys'
      ? `${at} has unknown keys: ${issue.keys.join(', ')}; ${issue.path.length > 1 ? 'known are unit and query' : `known are ${known.join(', ')}`}`
      : `${at} ${issue.message.replace('Invalid input: expected record', 'must be an object of names')}`;
  });
  throw invalid(`PROMETHEUS_QUERIES_FILE: ${rules.join('; ')}`, { parameter: 'PROMETHEUS_QUERIES_FILE' });
}
