import type { Preset } from './presets.ts';

/** Queries for the current state of a workload and its namespace, from kube-state-metrics. */

/** Evaluated now; `oom_limits` over the whole history. */
export const stateNames = [
  'requests',
  'limits',
  'oom_limits',
  'replicas',
  'hpa',
  'hpa_targets',
  'native_sidecars',
  'heaps',
  'nodes',
  'limit_ranges',
  'quotas',
  'workloads',
  'clusters',
] as const;
export type StateName = (typeof stateNames)[number];

export const replicasWanted =
  'max(kube_deployment_spec_replicas{$K,deployment="$svc"$isDep} or kube_statefulset_replicas{$K,statefulset="$svc"$isSts})';
const ofContainers = (metric: string) =>
  `max by(container,resource)(max by(namespace,pod,container,resource)(${metric}{$K$kp,resource=~"cpu|memory"}) $J)`;

const hpa =
  'max by(namespace,horizontalpodautoscaler)(kube_horizontalpodautoscaler_info{$K,scaletargetref_name="$svc"$isScaled})';

const pools = (metric: string, area: string, bound = '') =>
  `sum by(namespace,pod,container)(max by(namespace,pod,container,id)(${metric}{namespace="$ns",area="${area}"$kp$x}${bound}))`;

const ofLimitRanges = (constraint: string) =>
  `kube_limitrange{$K,type="Container",resource=~"cpu|memory",constraint="${constraint}"}`;
const ofQuotas = (type: string) =>
  `kube_resourcequota{$K,type="${type}",resource=~"cpu|memory|requests.cpu|requests.memory|limits.memory"}`;

const replicasOf = {
  deployment: 'kube_deployment_spec_replicas',
  statefulset: 'kube_statefulset_replicas',
  daemonset: 'kube_daemonset_status_desired_number_scheduled',
};

/** Templates, see `selectorsOf`. */
export const stateQueries: Record<StateName, (preset: Preset) => string> = {
  requests: () => ofContainers('kube_pod_container_resource_requests'),
  limits: () => ofContainers('kube_pod_container_resource_limits'),
  // Limits of containers when they were OOM-killed. The reason lasts as long as the pod, so it counts only when the
  // restart counter increases.
  oom_limits: () =>
    'max by(container)(max by(namespace,pod,container)(kube_pod_container_resource_limits{$K$kp,resource="memory"}) * on(namespace,pod,container) (max by(namespace,pod,container)(kube_pod_container_status_last_terminated_reason{$K$kp,reason="OOMKilled"}) > 0) and on(namespace,pod,container) ((max by(namespace,pod,container)(increase(kube_pod_container_status_restarts_total{$K$kp}[$r])) > 0) $J))',
  replicas: () => replicasWanted,
  hpa: () => hpa,
  hpa_targets: () =>
    `max by(horizontalpodautoscaler,metric_name,metric_target_type)(kube_horizontalpodautoscaler_spec_target_metric{$K} * on(namespace,horizontalpodautoscaler) group_left() ${hpa})`,
  // Sidecars: init containers that keep running; others have ended by the time of the query.
  native_sidecars: () => 'group by(container)(max by(namespace,pod,container)(kube_pod_init_container_info{$K$kp}) $J)',
  // Maximum memory of a JVM, from Micrometer or the JMX exporter; unbounded pools are negative. A pod that is scraped through
  // several services has each pool several times. A PodMonitor gives the pools of a JVM to each container of its pod: one
  // that uses less than half of what the JVM occupies besides the heap is another.
  heaps: () =>
    `max by(container)((${pools('jvm_memory_max_bytes', 'heap', ' > 0')} + ${pools('jvm_memory_committed_bytes', 'nonheap')} unless on(namespace,pod,container) (${pools('jvm_memory_committed_bytes', 'nonheap')} > 2 * max by(namespace,pod,container)(container_memory_working_set_bytes{$C}))) $J)`,
  nodes: () => 'max by(resource)(kube_node_status_allocatable{resource=~"cpu|memory"$x})',
  // The strictest bound that the namespace sets for a container.
  limit_ranges: () =>
    `max by(resource,constraint)(${ofLimitRanges('min')}) or min by(resource,constraint)(${ofLimitRanges('max')})`,
  // The remaining quota.
  quotas: () =>
    `min by(resource)(max by(resourcequota,resource)(${ofQuotas('hard')}) - max by(resourcequota,resource)(${ofQuotas('used')}))`,
  // Several mean that Prometheus has series of several clusters, which have namespaces of the same name.
  clusters: () => 'group by(cluster)(kube_pod_container_resource_requests{$K,cluster!=""})',
  workloads: (preset) =>
    preset === 'plain'
      ? Object.entries(replicasOf)
          .map(
            ([kind, metric]) =>
              `label_replace(label_replace(group by(${kind})(${metric}{$K}), "workload", "$1", "${kind}", "(.*)"), "workload_type", "${kind}", "", "")`,
          )
          .join(' or ')
      : 'group by(workload,workload_type)(namespace_workload_pod:kube_pod_owner:relabel{namespace="$ns",workload_type=~"deployment|statefulset|daemonset"$x})',
};
