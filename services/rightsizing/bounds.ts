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

/** After a kill memory is raised as VPA does; then floors, then caps, the last of which is the largest node. */
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
  const floor = isCpu
    ? (request.min_cpu_cores ?? bounds.minCpuCores)
    : (request.min_memory_bytes ?? bounds.minMemoryBytes);
  const cap = isCpu
    ? (request.max_cpu_cores ?? bounds.maxCpuCores)
    : (request.max_memory_bytes ?? bounds.maxMemoryBytes);
  const node = isCpu ? state.node.cpuCores : state.node.memoryBytes;
  let [value, by]: [number, BoundBy] = [unbounded, 'usage'];
  // The reason stays for as long as the pod does, the limit may have been raised since: what was never nearly used did not kill.
  const limit = isCpu ? null : (current?.oomLimit ?? null);
  const killed = limit !== null && peak !== null && limit <= 1.1 * peak ? limit : null;
  const afterKill = killed === null ? 0 : Math.max(killed + 100 * 2 ** 20, killed * 1.2);
  if (afterKill > value) [value, by] = [afterKill, 'oom'];
  if (floor > value) [value, by] = [floor, 'floor'];
  if (cap !== undefined && value > cap) [value, by] = [cap, 'cap'];
  if (node !== null && value > node) [value, by] = [node, 'node'];
  return [value, by];
}
