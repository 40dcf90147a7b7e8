import { isoTime } from '#kernel/clock.ts';
import { sum } from '#kernel/stats.ts';
import type { PodUsage } from '#services/acquisition/prometheus/collect.ts';
import type { Workload } from '#services/acquisition/prometheus/metric-queries.ts';
import type { ContainerState, WorkloadState } from '#services/acquisition/prometheus/workload-state.ts';
import type { Planned } from '../capacity/capacity.ts';
import { byCapacity } from '../capacity/demand.ts';
import type { SizeAnswer, SizeRequest, Sizing } from '../schemas.ts';
import { ofOthers, own } from '../strategies/names.ts';
import { day, horizonMsOf, type Resource, stepMsOf } from '../usage.ts';
import type { Advices, AdviseTask } from './advise.ts';
import { boundsOn, refuseContradictions } from './bounds.ts';
import { containersNow, isBeside } from './containers.ts';
import { costOf } from './cost.ts';
import {
  doubtNotes,
  explain,
  explainCapacity,
  isLong,
  notesOf,
  replicaNotes,
  shorterNotes,
  triedNotes,
  whyNot,
} from './explain.ts';
import { type Beside, outputsOf } from './outputs.ts';
import { type Pods, readAll } from './read.ts';
import { hpaOf, scalerPatch, sizeReplicas, unsetTargets } from './scaling.ts';
import type { SizeDeps } from './size-deps.ts';

/** From the history of a workload to a recommendation that explains each of its numbers. */

/** @throws TowerError `invalid` for names Kubernetes does not allow, `unavailable` where Prometheus or threads do not answer */
export async function sizeWorkload(
  deps: SizeDeps,
  target: Workload,
  asked: SizeRequest,
  now: number,
  signal: AbortSignal,
): Promise<SizeAnswer> {
  refuseContradictions(asked);
  const stepMs = stepMsOf[asked.horizon];
  const wanted = { startMs: now - asked.history_days * day, endMs: now, stepMs };
  const read = await readAll(deps.history, target, wanted, asked.kind, signal);
  const { stretch, cpu, memory, state, written, tried, kind } = read;
  const request = { ...asked, kind };
  const scaler = state.hpa ? `the autoscaler ${state.hpa.name}` : kind === 'DaemonSet' ? 'a DaemonSet' : null;
  const part = { deps, request, tried, signal };
  const byExperiments = await byCapacity(part, target, wanted, state.replicas, scaler);
  const { answer: capacity, planned, note } = byExperiments;
  const warnings = [...new Set([cpu, memory, state, byExperiments].flatMap((each) => each.warnings))];
  const context = { ...part, state, template: written?.containers ?? null, planned };
  const { names, notes } = containersNow([cpu, memory], state.nativeSidecars, now);
  const known = await Promise.all(names.map((name) => adviseContainer(context, name, cpu, memory)));
  const containers = onOneNode(context, known);
  const ofAll = { ...cpu, pods: cpu.pods.filter(({ container }) => names.includes(container)) };
  const replicas = sizeReplicas(request, state, await demandOf(context, ofAll), containers, planned);
  const [hpa, hpaMemory] = [hpaOf(state, 'cpu', containers), hpaOf(state, 'memory', containers)];
  const targets = { cpu: hpa, memory: hpaMemory };
  const beside = {
    replicas: planned && planned.replicas !== state.replicas ? planned.replicas : null,
    scaler: scalerPatch(written?.scaler ?? null, targets),
  };
  return {
    ...target,
    kind,
    generated_at: isoTime(now)!,
    strategy: request.strategy,
    horizon_seconds: horizonMsOf[request.horizon] / 1000,
    history: { start: isoTime(stretch.startMs)!, end: isoTime(now)!, step_seconds: stepMs / 1000 },
    containers,
    replicas,
    hpa,
    hpa_memory: hpaMemory,
    capacity,
    warnings,
    notes: [
      ...doubtNotes([cpu, memory], warnings),
      ...read.notes,
      ...notes,
      ...shorterNotes(wanted, stretch),
      ...triedNotes(tried),
      ...notesOf(state, containers),
      ...unsetTargets(beside.scaler, written?.scaler ?? null, targets),
      ...replicaNotes(planned, state.replicas),
      ...(note === null ? [] : [note]),
    ],
    cost: costOf(deps.prices, containers, state.replicas, planned?.replicas ?? null),
    ...outcomeOf({ ...target, kind }, request, containers, beside, warnings),
  };
}

/** What can be applied, or why nothing can. */
function outcomeOf(
  target: Parameters<typeof outputsOf>[0],
  request: SizeRequest,
  containers: Container[],
  beside: Beside,
  warnings: readonly string[],
): Pick<SizeAnswer, 'status' | 'reason' | 'confidence' | 'outputs'> {
  const sized = containers.filter(
    ({ sidecar, cpu: { request: cores }, memory: { request: bytes } }) =>
      !sidecar && (cores !== null || bytes !== null),
  );
  return sized.length === 0
    ? { status: 'abstained', reason: whyNot(request, containers, warnings), confidence: null, outputs: null }
    : { status: 'success', reason: null, confidence: leastStated(sized), outputs: outputsFor(target, sized, beside) };
}

type Container = SizeAnswer['containers'][number];

function leastStated(containers: Container[]): number | null {
  const said = containers
    .flatMap(({ cpu, memory }) => [cpu.confidence, memory.confidence])
    .filter((value) => value !== null);
  return said.length === 0 ? null : Math.min(...said);
}

const outputsFor = (target: Parameters<typeof outputsOf>[0], containers: Container[], beside: Beside) =>
  outputsOf(
    target,
    containers.map(({ container, cpu, memory }) => ({
      container,
      cpuCores: cpu.request,
      memoryBytes: memory.request,
      cpuLimitCores: cpu.limit,
    })),
    beside,
  );

type Context = {
  deps: SizeDeps;
  request: SizeRequest;
  state: WorkloadState;
  /** Containers of its own; null where no cluster tells. */
  template: string[] | null;
  signal: AbortSignal;
  /** What experiments and traffic say; null where usage decides. */
  planned: Planned | null;
};

const ofContainer = ({ startMs, stepMs, pods }: Pods, name: string): AdviseTask['pods'] =>
  pods.filter(({ container }) => container === name).map(({ values, first }) => ({ startMs, stepMs, values, first }));

type Known = { container: string; cpu: Advices; memory: Advices; cpuShare: number; memoryShare: number };

async function adviseContainer(context: Context, container: string, cpuPods: Pods, memoryPods: Pods): Promise<Known> {
  const [cpu, memory] = await Promise.all([
    advised(context, 'cpu', ofContainer(cpuPods, container), cpuPods.windowMs),
    advised(context, 'memory', ofContainer(memoryPods, container), memoryPods.windowMs),
  ]);
  const [cpuShare, memoryShare] = [shareOf(cpuPods, container), shareOf(memoryPods, container)];
  return { container, cpu, memory, cpuShare, memoryShare };
}

function sizeContainer(context: Context, { container, cpu, memory, cpuShare, memoryShare }: Known): Container {
  const current = context.state.containers[container] ?? null;
  return {
    container,
    sidecar: isBeside(container, context.state, context.template),
    cpu: sizingOf(context, 'cpu', cpu, current, cpuShare),
    memory: sizingOf(context, 'memory', memory, current, memoryShare),
    startup_peak_cores: cpu.startupPeak,
  };
}

/** A node takes a pod whole: where all its containers are too much for the largest one, each has its part of that. */
function onOneNode(context: Context, all: readonly Known[]): Container[] {
  const sized = all.map((each) => sizeContainer(context, each));
  const { cpuCores, memoryBytes } = context.state.node;
  const sumOf = (resource: Resource) => sum(sized.map((each) => each[resource].request ?? 0));
  const parts = {
    cpu: (cpuCores ?? Number.POSITIVE_INFINITY) / sumOf('cpu'),
    memory: (memoryBytes ?? Number.POSITIVE_INFINITY) / sumOf('memory'),
  };
  if (!(parts.cpu < 1) && !(parts.memory < 1)) return sized;
  return all.map((each, i) => {
    const part = (resource: Resource) => (parts[resource] < 1 ? parts[resource] * sized[i]![resource].request! : null);
    const node = { cpuCores: part('cpu'), memoryBytes: part('memory') };
    return sizeContainer({ ...context, state: { ...context.state, node } }, each);
  });
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
  const usages = pods.map(({ values, first }) => ({ startMs, stepMs, values, first }));
  return (await advised({ ...context, request }, 'cpu', usages, windowMs, true)).advised[0]?.request ?? null;
}

async function advised(
  { deps, request, signal }: Context,
  resource: Resource,
  pods: AdviseTask['pods'],
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
  const isKnown = isLong(known.hours, request.horizon);
  const isCpu = resource === 'cpu';
  const tried = planned && (isCpu ? planned.cpu : planned.memory) * share;
  // Beside experiments the memory of a few hours counts too.
  const enough = isKnown || (!isCpu && tried !== null);
  const byUsage = enough ? chosen.request : null;
  // Memory that was used in production is what kills, whatever an experiment of minutes saw.
  const isByCapacity = tried !== null && (isCpu || byUsage === null || tried > byUsage);
  const unbounded = isByCapacity ? tried : byUsage;
  const bounds = boundsOn(deps.bounds, request, state, resource, unbounded, current);
  const { value: bounded, by: decided, needed } = bounds ?? { value: null, by: 'nothing' as const, needed: 0 };
  return {
    request: bounded,
    limit: bounded === null ? null : isCpu ? cpuLimit(request, bounded, peak, current, state) : bounded,
    unit: isCpu ? 'cores' : 'bytes',
    current_request: (isCpu ? current?.cpuRequest : current?.memoryRequest) ?? null,
    current_limit: (isCpu ? current?.cpuLimit : current?.memoryLimit) ?? null,
    // Below what was asked for nothing is promised. Memory by capacity is more than usage would ask for.
    confidence:
      bounded === null || bounded < needed || !(isKnown || (isByCapacity && isCpu))
        ? null
        : isByCapacity && isCpu
          ? planned!.confidence
          : chosen.confidence,
    bound_by: isByCapacity && decided === 'usage' ? 'capacity' : decided,
    unbounded,
    peak,
    samples: known.samples,
    pods: known.pods,
    explanation: isByCapacity
      ? explainCapacity(planned!, resource, share, unbounded!, bounds!)
      : explain(request, resource, advices, enough, bounds),
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
