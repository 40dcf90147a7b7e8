import { isoTime } from '../../src/kernel/clock.ts';
import type { WorkerPool } from '../../src/kernel/worker-pool.ts';
import type { PodUsage } from '../acquisition/collect.ts';
import type { LoadPoint } from '../acquisition/load-points.ts';
import type { ContainerState, WorkloadState } from '../acquisition/state.ts';
import type { Advices, AdviseTask } from './advise.ts';
import { type Bounds, boundsOn } from './bounds.ts';
import type { Planned } from './capacity.ts';
import { costOf, type Prices } from './cost.ts';
import { byCapacity } from './demand.ts';
import { explain, explainCapacity, fewestHours, notesOf, whyNot } from './explain.ts';
import type { Forecaster } from './forecast-demand.ts';
import { outputsOf } from './outputs.ts';
import { hpaOf, sizeReplicas } from './scaling.ts';
import type { SizeAnswer, SizeRequest, Sizing } from './schemas.ts';
import { ofOthers, own } from './strategies/names.ts';
import { day, horizonMsOf, hour, type Resource, stepMsOf, type Usage } from './usage.ts';

/** From the history of a workload to a recommendation that explains each of its numbers. */

/** What is needed of clusters. */
export type History = {
  pods(
    workload: Target,
    which: Resource,
    stretch: { startMs: number; endMs: number; stepMs: number },
    signal: AbortSignal,
  ): Promise<Pods>;
  state(workload: Target, signal: AbortSignal): Promise<WorkloadState>;
  requestRate(
    workload: Target,
    stretch: { startMs: number; endMs: number; stepMs: number },
    signal: AbortSignal,
  ): Promise<Usage | null>;
  loadPoints(workload: Target): Promise<{ points: LoadPoint[]; leftOut: number; latestMs: number | null }>;
};
/** `windowMs`: what each value of CPU is the mean of. */
export type Pods = { startMs: number; stepMs: number; windowMs: number; pods: PodUsage[] };
type Target = { namespace: string; service: string };

export type SizeDeps = {
  history: History;
  /** The fused engine. */
  forecaster: Forecaster;
  pool: WorkerPool;
  prices: Prices;
  bounds: Bounds;
  timeoutMs: number;
};

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
  const stepMs = stepMsOf[request.horizon];
  const stretch = { startMs: now - request.history_days * day, endMs: now, stepMs };
  const signal = AbortSignal.timeout(deps.timeoutMs);
  const [cpu, memory, state] = await Promise.all([
    deps.history.pods(target, 'cpu', stretch, signal),
    deps.history.pods(target, 'memory', stretch, signal),
    deps.history.state(target, signal),
  ]);
  const scaler = state.hpa ? `the autoscaler ${state.hpa.name}` : request.kind === 'DaemonSet' ? 'a DaemonSet' : null;
  const part = { deps, request, signal };
  const byExperiments = await byCapacity(part, target, stretch, state.replicas, scaler);
  const { answer: capacity, planned, note } = byExperiments;
  const context = { ...part, state, planned };
  const { names, notes } = containersNow([cpu, memory], now);
  const containers = await Promise.all(names.map((name) => sizeContainer(context, name, cpu, memory)));
  const demand = await demandOf(context, {
    ...cpu,
    pods: cpu.pods.filter(({ container }) => names.includes(container)),
  });
  const replicas = sizeReplicas(request, state, demand, containers, planned);
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
    capacity,
    notes: [
      ...notes,
      ...notesOf(state, containers),
      ...replicaNotes(planned, state.replicas),
      ...(note === null ? [] : [note]),
    ],
    cost: costOf(deps.prices, containers, state.replicas),
  };
  const sized = containers.filter(
    ({ sidecar, cpu: { request: cores }, memory: { request: bytes } }) =>
      !sidecar && (cores !== null || bytes !== null),
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

/** What is to be applied has no replicas in it. */
const replicaNotes = (planned: Planned | null, current: number | null): string[] =>
  planned && current !== null && planned.replicas !== current
    ? [`this size is for ${planned.replicas} replicas, and there are ${current}: set both`]
    : [];

type Container = SizeAnswer['containers'][number];

/** Those that ran until the end; of others an old version had one, or it only began the pod. */
function containersNow(parts: readonly Pods[], now: number): { names: string[]; notes: string[] } {
  const last = new Map<string, number>();
  for (const { startMs, stepMs, pods } of parts)
    for (const { container, values } of pods) {
      const at = startMs + values.findLastIndex((value) => !Number.isNaN(value)) * stepMs;
      last.set(container, Math.max(last.get(container) ?? 0, at));
    }
  const newest = Math.max(0, ...last.values());
  const all = [...last.keys()].sort();
  const gone = all.filter((name) => last.get(name)! < newest - hour);
  const named = all.filter((name) => /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/.test(name));
  return {
    names: named.filter((name) => !gone.includes(name)),
    notes: [
      ...(named.length < all.length ? ['series whose container label is no name of Kubernetes were left out'] : []),
      ...(gone.length > 0 ? [`gone by now, and left out: ${gone.join(', ')}`] : []),
      ...(last.size > 0 && newest < now - hour ? [`no pod of it was seen since ${isoTime(newest)}`] : []),
    ],
  };
}

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

type Context = {
  deps: SizeDeps;
  request: SizeRequest;
  state: WorkloadState;
  signal: AbortSignal;
  /** What experiments and traffic say; null where usage decides. */
  planned: Planned | null;
};

const ofContainer = ({ startMs, stepMs, pods }: Pods, name: string): Usage[] =>
  pods.filter(({ container }) => container === name).map(({ values }) => ({ startMs, stepMs, values }));

async function sizeContainer(context: Context, container: string, cpuPods: Pods, memoryPods: Pods): Promise<Container> {
  const current = context.state.containers[container] ?? null;
  const [cpu, memory] = await Promise.all([
    advised(context, 'cpu', ofContainer(cpuPods, container), cpuPods.windowMs),
    advised(context, 'memory', ofContainer(memoryPods, container), memoryPods.windowMs),
  ]);
  return {
    container,
    sidecar: sidecars.test(container),
    cpu: sizingOf(context, 'cpu', cpu, current, shareOf(cpuPods, container)),
    memory: sizingOf(context, 'memory', memory, current, shareOf(memoryPods, container)),
    startup_peak_cores: cpu.startupPeak,
  };
}

/** Of what all containers used, since experiments tell them apart no better than by pods. */
function shareOf({ pods }: Pods, container: string): number {
  const used = (of: PodUsage[]) =>
    of.reduce((sum, { values }) => sum + values.reduce((all, value) => all + (Number.isNaN(value) ? 0 : value), 0), 0);
  const all = used(pods);
  return all > 0 ? used(pods.filter((pod) => pod.container === container)) / all : 1;
}

/** Cores that all pods together are to have; null where nothing is known. */
async function demandOf(context: Context, { startMs, stepMs, windowMs, pods }: Pods): Promise<number | null> {
  const request: SizeRequest = { ...context.request, strategy: own, compare: false, startup_seconds: 0 };
  const usages = pods.map(({ values }) => ({ startMs, stepMs, values }));
  return (await advised({ ...context, request }, 'cpu', usages, windowMs, true)).advised[0]?.request ?? null;
}

async function advised(
  { deps, request, signal }: Context,
  resource: Resource,
  pods: Usage[],
  windowMs: number,
  together = false,
): Promise<Advices> {
  const others = request.compare ? [own, ...ofOthers] : [];
  const task: AdviseTask = {
    resource,
    pods,
    together,
    horizonMs: horizonMsOf[request.horizon],
    violation: resource === 'cpu' ? request.violation : request.memory_violation,
    least: resource === 'cpu' ? 0.001 : 2 ** 20,
    // A mean over so long a window still has the start in it.
    startupMs: request.startup_seconds === 0 ? 0 : request.startup_seconds * 1000 + windowMs,
    strategies: [...new Set([request.strategy, ...others])],
  };
  return deps.pool.run<Advices>('runAdvise', task, { signal });
}

function sizingOf(
  { deps, request, state, planned }: Context,
  resource: Resource,
  advices: Advices,
  current: ContainerState | null,
  share: number,
): Sizing {
  const { known, peak, advised: all } = advices;
  const chosen = all[0]!;
  const enough = known.hours >= fewestHours[request.horizon];
  const byUsage = enough ? chosen.request : null;
  const isCpu = resource === 'cpu';
  const tried = planned && (isCpu ? planned.cpu : planned.memory) * share;
  // Memory that was used in production is what kills, whatever an experiment of minutes saw.
  const isByCapacity = tried !== null && (isCpu || byUsage === null || tried > byUsage);
  const unbounded = isByCapacity ? tried : byUsage;
  const [bounded, decided] = boundsOn(deps.bounds, request, state, resource, unbounded, current, peak);
  const boundBy = isByCapacity && decided === 'usage' ? 'capacity' : decided;
  return {
    request: bounded,
    limit: bounded === null ? null : isCpu ? cpuLimit(request, bounded, peak, current, state) : bounded,
    unit: isCpu ? 'cores' : 'bytes',
    current_request: (isCpu ? current?.cpuRequest : current?.memoryRequest) ?? null,
    current_limit: (isCpu ? current?.cpuLimit : current?.memoryLimit) ?? null,
    // Below what was asked for nothing is promised.
    confidence: unbounded === null || isByCapacity || bounded! < unbounded ? null : chosen.confidence,
    bound_by: boundBy,
    unbounded,
    peak,
    samples: known.samples,
    pods: known.pods,
    explanation: isByCapacity
      ? explainCapacity(planned!, resource, share, unbounded!, decided, bounded!)
      : explain(request, resource, advices, enough, decided, bounded),
    experts: chosen.experts,
    factor: chosen.factor,
    compared: all.slice(request.compare ? 0 : 1).map(({ strategy, request: says }) => ({ strategy, request: says })),
  };
}

/** Where none is asked for, one that is there stays, and rises where the request would be above it. */
function cpuLimit(
  { cpu_limit }: SizeRequest,
  cores: number,
  peak: number | null,
  current: ContainerState | null,
  { range }: WorkloadState,
): number | null {
  const most = range.most.cpuCores ?? Number.POSITIVE_INFINITY;
  if (cpu_limit && peak !== null) return Math.min(most, Math.max(2 * cores, 1.2 * peak));
  const limit = current?.cpuLimit ?? null;
  return limit !== null && limit < cores ? Math.min(most, 2 * cores) : null;
}
