import { isoTime } from '../../src/kernel/clock.ts';
import type { WorkerPool } from '../../src/kernel/worker-pool.ts';
import type { PodUsage } from '../acquisition/collect.ts';
import type { ContainerState, WorkloadState } from '../acquisition/state.ts';
import { type Advices, type AdviseTask, totalOf } from './advise.ts';
import { costOf, type Prices } from './cost.ts';
import { explain, fewestHours, notesOf, whyNot } from './explain.ts';
import { outputsOf } from './outputs.ts';
import { hpaOf, sizeReplicas } from './scaling.ts';
import type { SizeAnswer, SizeRequest, Sizing } from './schemas.ts';
import { ofOthers, own } from './strategies/names.ts';
import { day, hour, type Resource, type Usage } from './usage.ts';

/** From the history of a workload to a recommendation that explains each of its numbers. */

/** What is needed of clusters. */
export type History = {
  pods(
    workload: Target,
    which: Resource,
    stretch: { startMs: number; endMs: number; stepMs: number },
  ): Promise<{ startMs: number; stepMs: number; pods: PodUsage[] }>;
  state(workload: Target): Promise<WorkloadState>;
};
type Target = { namespace: string; service: string };

export type Bounds = {
  minCpuCores: number;
  minMemoryBytes: number;
  maxCpuCores: number | undefined;
  maxMemoryBytes: number | undefined;
};
export type SizeDeps = { history: History; pool: WorkerPool; prices: Prices; bounds: Bounds; timeoutMs: number };

/** An hour's horizon needs every minute; a day's does with five. */
const stepOf = { '24h': 300_000, '1h': 60_000 };
export const horizonMsOf = { '24h': day, '1h': hour };

/** Containers that are injected beside a service. */
const sidecars =
  /^(istio-proxy|linkerd-proxy|envoy(-sidecar)?|cloud-sql-proxy|cloudsql-proxy|vault-agent|daprd|fluent-bit|consul-dataplane|kuma-sidecar|jaeger-agent|otc-container)$/;

/** @throws TowerError `invalid` for names Kubernetes does not allow, `unavailable` where Prometheus or threads do not answer */
export async function sizeWorkload(
  deps: SizeDeps,
  target: Target,
  request: SizeRequest,
  now: number,
): Promise<SizeAnswer> {
  const stepMs = stepOf[request.horizon];
  const stretch = { startMs: now - request.history_days * day, endMs: now, stepMs };
  const [cpu, memory, state] = await Promise.all([
    deps.history.pods(target, 'cpu', stretch),
    deps.history.pods(target, 'memory', stretch),
    deps.history.state(target),
  ]);
  const names = [...new Set([...cpu.pods, ...memory.pods].map(({ container }) => container))].sort();
  const notes: string[] = [];
  const usable = names.filter((name) => /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/.test(name));
  if (usable.length < names.length) notes.push('series whose container label is no name of Kubernetes were left out');
  const context = { deps, request, state };
  const containers = await Promise.all(
    usable.map((name) => sizeContainer(context, name, ofContainer(cpu, name), ofContainer(memory, name))),
  );
  const replicas = sizeReplicas(request, state.replicas, await demandOf(context, cpu), containers);
  const common = {
    ...target,
    kind: request.kind,
    generated_at: isoTime(now)!,
    strategy: request.strategy,
    horizon_seconds: horizonMsOf[request.horizon] / 1000,
    history: { start: isoTime(stretch.startMs)!, end: isoTime(now)!, step_seconds: stepMs / 1000 },
    containers,
    replicas,
    hpa: hpaOf(state, containers),
    notes: [...notes, ...notesOf(state, containers)],
    cost: costOf(deps.prices, containers, replicas?.current ?? null, replicas?.recommended ?? null),
  };
  const sized = containers.filter(
    ({ cpu: { request: cores }, memory: { request: bytes } }) => cores !== null || bytes !== null,
  );
  return sized.length === 0
    ? { ...common, status: 'abstained', reason: whyNot(request, containers), confidence: null, outputs: null }
    : {
        ...common,
        status: 'success',
        reason: null,
        confidence: leastStated(sized),
        outputs: outputsFor({ ...target, kind: request.kind }, sized),
      };
}

type Container = SizeAnswer['containers'][number];

function leastStated(containers: Container[]): number | null {
  const said = containers
    .flatMap(({ cpu, memory }) => [cpu.confidence, memory.confidence])
    .filter((value) => value !== null);
  return said.length === 0 ? null : Math.min(...said);
}

const outputsFor = (target: Parameters<typeof outputsOf>[0], containers: Container[]) =>
  outputsOf(
    target,
    containers.map(({ container, cpu, memory }) => ({
      container,
      cpuCores: cpu.request,
      memoryBytes: memory.request,
      cpuLimitCores: cpu.limit,
    })),
  );

type Context = { deps: SizeDeps; request: SizeRequest; state: WorkloadState };
type Pods = { startMs: number; stepMs: number; pods: PodUsage[] };

const ofContainer = ({ startMs, stepMs, pods }: Pods, name: string): Usage[] =>
  pods.filter(({ container }) => container === name).map(({ values }) => ({ startMs, stepMs, values }));

async function sizeContainer(
  context: Context,
  container: string,
  cpuPods: Usage[],
  memoryPods: Usage[],
): Promise<Container> {
  const current = context.state.containers[container] ?? null;
  const [cpu, memory] = await Promise.all([advised(context, 'cpu', cpuPods), advised(context, 'memory', memoryPods)]);
  return {
    container,
    sidecar: sidecars.test(container),
    cpu: sizingOf(context, 'cpu', cpu, current),
    memory: sizingOf(context, 'memory', memory, current),
    startup_peak_cores: cpu.startupPeak,
  };
}

/** Cores that all pods together are to have; null where nothing is known. */
async function demandOf(context: Context, { startMs, stepMs, pods }: Pods): Promise<number | null> {
  const request: SizeRequest = { ...context.request, strategy: own, compare: false, startup_seconds: 0 };
  const total = totalOf(pods.map(({ values }) => ({ startMs, stepMs, values })));
  return (await advised({ ...context, request }, 'cpu', [total])).advised[0]?.request ?? null;
}

async function advised({ deps, request }: Context, resource: Resource, pods: Usage[]): Promise<Advices> {
  const others = request.compare ? [own, ...ofOthers] : [];
  const task: AdviseTask = {
    resource,
    pods,
    horizonMs: horizonMsOf[request.horizon],
    violation: resource === 'cpu' ? request.violation : request.memory_violation,
    least: resource === 'cpu' ? 0.001 : 2 ** 20,
    startupMs: request.startup_seconds * 1000,
    strategies: [...new Set([request.strategy, ...others])],
  };
  return deps.pool.run<Advices>('runAdvise', task, { signal: AbortSignal.timeout(deps.timeoutMs) });
}

function sizingOf(
  { deps, request, state }: Context,
  resource: Resource,
  advices: Advices,
  current: ContainerState | null,
): Sizing {
  const { known, peak, advised: all } = advices;
  const chosen = all[0]!;
  const enough = known.hours >= fewestHours[request.horizon];
  const unbounded = enough ? chosen.request : null;
  const [bounded, boundBy] = boundsOn(deps.bounds, request, state, resource, unbounded, current);
  const isCpu = resource === 'cpu';
  return {
    request: bounded,
    limit: bounded === null ? null : isCpu ? cpuLimit(request, bounded, peak) : bounded,
    unit: isCpu ? 'cores' : 'bytes',
    current_request: (isCpu ? current?.cpuRequest : current?.memoryRequest) ?? null,
    current_limit: (isCpu ? current?.cpuLimit : current?.memoryLimit) ?? null,
    confidence: unbounded === null ? null : chosen.confidence,
    bound_by: boundBy,
    unbounded,
    peak,
    samples: known.samples,
    pods: known.pods,
    explanation: explain(request, resource, advices, enough, boundBy, bounded),
    experts: chosen.experts,
    factor: chosen.factor,
    compared: all.slice(request.compare ? 0 : 1).map(({ strategy, request: says }) => ({ strategy, request: says })),
  };
}

const cpuLimit = ({ cpu_limit }: SizeRequest, cores: number, peak: number | null): number | null =>
  cpu_limit && peak !== null ? Math.max(2 * cores, 1.2 * peak) : null;

type BoundBy = Sizing['bound_by'];

/** After a kill memory is raised as VPA does; then floors, then caps, the last of which is the largest node. */
function boundsOn(
  bounds: Bounds,
  request: SizeRequest,
  state: WorkloadState,
  resource: Resource,
  unbounded: number | null,
  current: ContainerState | null,
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
  const killed = isCpu ? null : (current?.oomLimit ?? null);
  const afterKill = killed === null ? 0 : Math.max(killed + 100 * 2 ** 20, killed * 1.2);
  if (afterKill > value) [value, by] = [afterKill, 'oom'];
  if (floor > value) [value, by] = [floor, 'floor'];
  if (cap !== undefined && value > cap) [value, by] = [cap, 'cap'];
  if (node !== null && value > node) [value, by] = [node, 'node'];
  return [value, by];
}
