import type { Written } from '#services/acquisition/kubernetes/resources.ts';
import type { WorkloadState } from '#services/acquisition/prometheus/workload-state.ts';
import type { Planned } from '../capacity/capacity.ts';
import { formatQuantity } from '../quantity.ts';
import type { SizeAnswer, SizeRequest } from '../schemas.ts';
import type { Resource } from '../usage.ts';

/** Replica counts, and autoscaler targets when requests change. */

type Container = SizeAnswer['containers'][number];

/** Relative uncertainty of the number of replicas. */
const uncertainty = 0.15;

/**
 * Total demand divided by the capacity of one replica.
 * @param demand - total cores
 */
export function sizeReplicas(
  request: SizeRequest,
  { replicas: current, hpa }: WorkloadState,
  demand: number | null,
  containers: readonly Container[],
  planned: Planned | null,
): SizeAnswer['replicas'] {
  // Rounded to whole millicores, as it is written.
  const perPod = containers.reduce((sum, each) => sum + Math.ceil(1000 * (each.cpu.request ?? Number.NaN)) / 1000, 0);
  if (request.kind === 'DaemonSet' || containers.length === 0) return null;
  const nothing = {
    current,
    recommended: null,
    demand_cores: demand,
    bound_by: 'nothing' as 'nothing' | 'cap' | 'capacity',
  };
  if (current === 0) return { ...nothing, recommended: 0, explanation: 'scaled to zero' };
  if (hpa) return { ...nothing, explanation: `the autoscaler ${hpa.name} decides` };
  if (planned) {
    const text = `by experiments: ${Number(planned.load.toPrecision(3))} requests/s each`;
    return { ...nothing, recommended: planned.replicas, bound_by: 'capacity', explanation: text };
  }
  if (demand === null || Number.isNaN(perPod))
    return { ...nothing, explanation: 'some containers have no recommendation' };
  const ratio = demand / (perPod * request.target_utilization);
  // Both values are estimates of the same usage: within their uncertainty nothing changes.
  const isEnough = current !== null && ratio * (1 + uncertainty) > current - 1 && ratio * (1 - uncertainty) <= current;
  const needed = isEnough ? Math.max(1, current) : Math.max(1, Math.ceil(ratio - 0.01));
  const recommended = Math.min(
    request.max_replicas ?? Number.POSITIVE_INFINITY,
    Math.max(request.min_replicas, needed),
  );
  const bound = recommended > needed ? 'floor' : recommended < needed ? 'cap' : 'usage';
  const share = request.target_utilization === 1 ? '' : ` at ${Math.round(100 * request.target_utilization)} %`;
  const text = `all replicas together need ${formatQuantity(demand, 'cpu')} cores; one has ${formatQuantity(perPod, 'cpu')}${share}: ${needed}`;
  return {
    current,
    recommended,
    demand_cores: demand,
    bound_by: bound,
    explanation:
      bound === 'usage' ? text : `${text}, ${bound === 'floor' ? 'raised to min_replicas' : 'lowered to max_replicas'}`,
  };
}

/** The percentage that keeps the load at which it scales, between a safe minimum and maximum. */
export function movedShare(share: number, before: number, after: number) {
  const exact = (share * before) / after;
  // A target already outside that range is not forced into it.
  const [low, high] = [Math.min(0.5, share), Math.max(0.9, share)];
  return { exact, moved: Math.min(high, Math.max(low, exact)), low, high };
}

/** Utilisation is a percentage of the request, so the target has to change with the request. */
export function hpaOf(
  { hpa, containers: current }: WorkloadState,
  resource: Resource,
  containers: Container[],
): SizeAnswer['hpa'] {
  const scaled = hpa?.metrics.find(({ metric, type }) => metric === resource && type === 'utilization');
  if (!hpa || !scaled) return null;
  const requestOf = (container: string) =>
    (resource === 'cpu' ? current[container]?.cpuRequest : current[container]?.memoryRequest) ?? null;
  const sum = (values: (number | null)[]) =>
    values.length === 0 || values.includes(null) ? null : values.reduce<number>((total, value) => total + value!, 0);
  const before = sum(containers.map(({ container }) => requestOf(container)));
  // Injected sidecars are not part of what is applied.
  const after = sum(containers.map((each) => (each.sidecar ? requestOf(each.container) : each[resource].request)));
  const { target } = scaled;
  const common = { name: hpa.name, target_utilization: target };
  if (before === null || after === null)
    return {
      ...common,
      recommended_target_utilization: null,
      explanation: `the current ${resource} requests are not known for all containers, so the target cannot be adjusted`,
    };
  const { exact, moved, low, high } = movedShare(target, before, after);
  const load = (amount: number) => `${formatQuantity(amount, resource)}${resource === 'cpu' ? ' cores' : ''}`;
  const text = `scales at ${load(target * before)} per pod, which is ${Math.round(100 * exact)} % of the recommended requests`;
  return {
    ...common,
    recommended_target_utilization: moved,
    explanation:
      moved === exact
        ? text
        : `${text}; kept within ${Math.round(100 * low)} and ${Math.round(100 * high)} %, so it will scale at ${formatQuantity(moved * after, resource)}`,
  };
}

/**
 * Complete list of metrics with the changed targets. Lists are replaced as a whole, so it starts from the cluster's
 * list; null if that is unknown, no target changes, or another controller owns it.
 */
export function scalerPatch(
  scaler: Written['scaler'],
  targets: Record<Resource, SizeAnswer['hpa']>,
): { name: string; metrics: object[] } | null {
  if (!scaler || scaler.managedBy !== null) return null;
  let moved = false;
  const metrics = (scaler.spec.metrics ?? []).map((metric) => {
    const { type, resource } = metric;
    const target = type === 'Resource' ? targets[resource?.name as Resource] : null;
    const share = target?.name === scaler.metadata.name ? target.recommended_target_utilization : null;
    if (!resource || share === null || resource.target?.type !== 'Utilization') return metric;
    const averageUtilization = Math.round(100 * share);
    moved ||= averageUtilization !== resource.target.averageUtilization;
    return { ...metric, resource: { ...resource, target: { ...resource.target, averageUtilization } } };
  });
  return moved ? { name: scaler.metadata.name, metrics } : null;
}

/** Targets that the recommendation assumes but its outputs do not set. */
export const unsetTargets = (
  patch: ReturnType<typeof scalerPatch>,
  scaler: Written['scaler'],
  targets: Record<Resource, SizeAnswer['hpa']>,
): string[] =>
  Object.entries(targets).flatMap(([resource, target]) => {
    const [now, next] = [target?.target_utilization, target?.recommended_target_utilization ?? null];
    if (!target || patch || next === null || Math.round(100 * next) === Math.round(100 * now!)) return [];
    const why = scaler?.managedBy ? `${scaler.managedBy} manages it` : 'its metrics are not fully known';
    return [
      `set the target of the autoscaler ${target.name} to ${Math.round(100 * next)} % of ${resource} together with the requests: ${why}, so the outputs do not set it`,
    ];
  });
