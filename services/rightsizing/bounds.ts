import type { ContainerState, WorkloadState } from '../acquisition/state.ts';
import type { SizeRequest, Sizing } from './schemas.ts';
import type { Resource } from './usage.ts';

/** What a request may be, whatever usage says. */

export type Bounds = {
  minCpuCores: number;
  minMemoryBytes: number;
  maxCpuCores: number | undefined;
  maxMemoryBytes: number | undefined;
};
type BoundBy = Exclude<Sizing['bound_by'], 'capacity'>;

/**
 * After a kill memory is raised as VPA does; then floors and caps, then what the namespace allows, and at last the largest
 * node.
 */
export function boundsOn(
  bounds: Bounds,
  request: SizeRequest,
  state: WorkloadState,
  resource: Resource,
  unbounded: number | null,
  current: ContainerState | null,
  peak: number | null,
): [number | null, BoundBy] {
  if (unbounded === null) return [null, 'nothing'];
  const isCpu = resource === 'cpu';
  const amount = isCpu ? 'cpuCores' : 'memoryBytes';
  const floor = isCpu
    ? (request.min_cpu_cores ?? bounds.minCpuCores)
    : (request.min_memory_bytes ?? bounds.minMemoryBytes);
  const cap = isCpu
    ? (request.max_cpu_cores ?? bounds.maxCpuCores)
    : (request.max_memory_bytes ?? bounds.maxMemoryBytes);
  let [value, by]: [number, BoundBy] = [unbounded, 'usage'];
  const raise = (least: number | null, rule: BoundBy) => {
    if (least !== null && value < least) [value, by] = [least, rule];
  };
  const lower = (most: number | null | undefined, rule: BoundBy) => {
    if (most !== null && most !== undefined && value > most) [value, by] = [most, rule];
  };
  // The reason stays for as long as the pod does, the limit may have been raised since: what was never nearly used did not kill.
  const limit = isCpu ? null : (current?.oomLimit ?? null);
  const killed = limit !== null && peak !== null && limit <= 1.1 * peak ? limit : null;
  raise(killed === null ? null : Math.max(killed + 100 * 2 ** 20, killed * 1.2), 'oom');
  raise(floor, 'floor');
  lower(cap, 'cap');
  raise(state.range.least[amount], 'limit_range');
  lower(state.range.most[amount], 'limit_range');
  lower(quotaFor(state, isCpu, current), 'quota');
  lower(state.node[amount], 'node');
  return [value, by];
}

/** What a quota leaves each replica for a container: its part of that is as large as its part of what is asked for now. */
function quotaFor(
  { quotaLeft, replicas, containers }: WorkloadState,
  isCpu: boolean,
  current: ContainerState | null,
): number | null {
  const left = isCpu ? quotaLeft.cpuCores : quotaLeft.memoryBytes;
  const own = (isCpu ? current?.cpuRequest : current?.memoryRequest) ?? null;
  if (left === null || own === null || !replicas) return null;
  const all = Object.values(containers).map((each) => (isCpu ? each.cpuRequest : each.memoryRequest) ?? 0);
  const total = all.reduce((sum, each) => sum + each, 0);
  return Math.max(0, own + ((left / replicas) * own) / total);
}
