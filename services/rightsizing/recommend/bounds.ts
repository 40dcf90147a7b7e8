import { invalid } from '#kernel/errors.ts';
import type { ContainerState, WorkloadState } from '#services/acquisition/prometheus/workload-state.ts';
import type { SizeRequest, Sizing } from '../schemas.ts';
import type { Resource } from '../usage.ts';

/** Limits of a request: floors, caps, quotas, nodes. */

export type Bounds = {
  minCpuCores: number;
  minMemoryBytes: number;
  maxCpuCores: number | undefined;
  maxMemoryBytes: number | undefined;
};
type BoundBy = Exclude<Sizing['bound_by'], 'capacity'>;
/** `needed`: the value required before any cap, and the rule that raised it. */
export type Bounded = { value: number; by: BoundBy; needed: number; neededBy: BoundBy };

/** @throws TowerError `invalid` for contradictory bounds */
export function refuseContradictions(request: SizeRequest): void {
  for (const [least, most] of [
    ['min_cpu_cores', 'max_cpu_cores'],
    ['min_memory_bytes', 'max_memory_bytes'],
    ['min_replicas', 'max_replicas'],
  ] as const)
    if ((request[least] ?? 0) > (request[most] ?? Number.POSITIVE_INFINITY))
      throw invalid(`${least} must not be above ${most}`, { parameter: least });
  if (request.basis === 'usage' && request.demand_requests_per_second !== undefined)
    throw invalid('demand_requests_per_second requires basis capacity or auto', {
      parameter: 'demand_requests_per_second',
    });
}

/**
 * Memory is raised after an out-of-memory kill as VPA does, and to the maximum heap of a JVM; then floors and caps
 * apply, then the namespace's limits, and finally the largest node.
 */
export function boundsOn(
  bounds: Bounds,
  request: SizeRequest,
  state: WorkloadState,
  resource: Resource,
  unbounded: number | null,
  current: ContainerState | null,
): Bounded | null {
  if (unbounded === null) return null;
  const isCpu = resource === 'cpu';
  const amount = isCpu ? 'cpuCores' : 'memoryBytes';
  const cap = isCpu
    ? (request.max_cpu_cores ?? bounds.maxCpuCores)
    : (request.max_memory_bytes ?? bounds.maxMemoryBytes);
  const least = isCpu
    ? (request.min_cpu_cores ?? bounds.minCpuCores)
    : (request.min_memory_bytes ?? bounds.minMemoryBytes);
  // One of them may come from the settings.
  const floor = Math.min(least, cap ?? least);
  let [value, by]: [number, BoundBy] = [unbounded, 'usage'];
  const raise = (least: number | null, rule: BoundBy) => {
    if (least !== null && value < least) [value, by] = [least, rule];
  };
  const lower = (most: number | null | undefined, rule: BoundBy) => {
    if (most !== null && most !== undefined && value > most) [value, by] = [most, rule];
  };
  // The kill may have happened between two scrapes, so the limit counts even if no sample reached it.
  const killed = isCpu ? null : (current?.oomLimit ?? null);
  raise(killed === null ? null : Math.max(killed + 100 * 2 ** 20, killed * 1.2), 'oom');
  raise(isCpu ? null : (current?.heapBytes ?? null), 'heap');
  const [needed, neededBy] = [value, by];
  raise(floor, 'floor');
  lower(cap, 'cap');
  const quota = roundDown(quotaFor(state, isCpu, current), isCpu);
  // A quota is no reason to go below the floor.
  lower(quota === null ? null : Math.max(quota, floor, state.range.least[amount] ?? 0), 'quota');
  raise(state.range.least[amount], 'limit_range');
  lower(roundDown(state.range.most[amount], isCpu), 'limit_range');
  lower(roundDown(state.node[amount], isCpu), 'node');
  return { value, by, needed, neededBy };
}

/** Rounded down to whole millicores and Mi, so that the written value stays within the cap. */
function roundDown(most: number | null, isCpu: boolean): number | null {
  const unit = isCpu ? 0.001 : 2 ** 20;
  return most === null || most < unit ? most : Math.floor(most / unit + 1e-9) * unit;
}

/**
 * Remaining quota of a container; null without a quota. Current requests are never reduced. Growth must leave room for
 * the surge pod of a rollout. The memory limit equals the request, so the remaining quota of limits applies too.
 */
function quotaFor({ quotaLeft, replicas, containers }: WorkloadState, isCpu: boolean, current: ContainerState | null) {
  const requestOf = (each: ContainerState) => (isCpu ? each.cpuRequest : each.memoryRequest) ?? 0;
  const all = Object.values(containers);
  const total = all.reduce((sum, each) => sum + requestOf(each), 0);
  const share = current && total > 0 ? requestOf(current) / total : 0;
  if (share === 0 || !replicas) return null;
  const perPod = (left: number | null, own: number) =>
    left === null ? Number.POSITIVE_INFINITY : own + Math.max(0, left - own) / replicas;
  const ofRequests = perPod(isCpu ? quotaLeft.cpuCores : quotaLeft.memoryBytes, total);
  const limits = all.reduce((sum, each) => sum + (each.memoryLimit ?? 0), 0);
  const ofLimits = isCpu ? Number.POSITIVE_INFINITY : perPod(quotaLeft.memoryLimitBytes, limits);
  const most = share * Math.min(ofRequests, ofLimits);
  // A quota for limits without remaining room: only admission can tell more.
  return most > 0 && Number.isFinite(most) ? most : null;
}
