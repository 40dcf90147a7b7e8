import { sum } from '#kernel/stats.ts';
import type { PodUsage } from '#services/acquisition/prometheus/collect.ts';
import type { ContainerState, WorkloadState } from '#services/acquisition/prometheus/workload-state.ts';
import type { Planned } from '../capacity/capacity.ts';
import type { SizeAnswer, SizeRequest, Sizing } from '../schemas.ts';
import { thirdPartyStrategies, towerStrategy } from '../strategies/names.ts';
import { horizonMsOf, type Resource } from '../usage.ts';
import type { Advice, AdviseTask } from './advise.ts';
import { boundsOn } from './bounds.ts';
import { isInjected } from './containers.ts';
import { explain, explainCapacity, hasEnoughHistory } from './explain.ts';
import type { Pods } from './read.ts';
import type { SizeDeps } from './size-deps.ts';

/** Requests and limits of the containers of a workload, from usage and experiments. */

type Container = SizeAnswer['containers'][number];

/** Inputs for sizing containers. */
export type Context = {
  deps: SizeDeps;
  request: SizeRequest;
  state: WorkloadState;
  /** Containers of the template; null without a cluster. */
  template: string[] | null;
  signal: AbortSignal;
  /** Result of capacity planning; null if usage decides. */
  planned: Planned | null;
};

const ofContainer = ({ startMs, stepMs, pods }: Pods, name: string): AdviseTask['pods'] =>
  pods.filter(({ container }) => container === name).map(({ values, first }) => ({ startMs, stepMs, values, first }));

type Known = { container: string; cpu: Advice; memory: Advice; cpuShare: number; memoryShare: number };

export async function adviseContainer(
  context: Context,
  container: string,
  cpuPods: Pods,
  memoryPods: Pods,
): Promise<Known> {
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
    sidecar: isInjected(container, context.state, context.template),
    cpu: sizingOf(context, 'cpu', cpu, current, cpuShare),
    memory: sizingOf(context, 'memory', memory, current, memoryShare),
    startup_peak_cores: cpu.startupPeak,
  };
}

/** A pod must fit on one node: if all containers together exceed the largest node, each gets a proportional part. */
export function sizeToFitNode(context: Context, all: readonly Known[]): Container[] {
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

/** Share of the pod's total usage: experiments measure pods, not containers. */
function shareOf({ pods }: Pods, container: string): number {
  const used = (of: PodUsage[]) =>
    of.reduce((sum, { values }) => sum + values.reduce((all, value) => all + (Number.isNaN(value) ? 0 : value), 0), 0);
  const all = used(pods);
  return all > 0 ? used(pods.filter((pod) => pod.container === container)) / all : 1;
}

/** Total cores of all pods; null if unknown. */
export async function demandOf(context: Context, { startMs, stepMs, windowMs, pods }: Pods): Promise<number | null> {
  const request: SizeRequest = { ...context.request, strategy: towerStrategy, compare: false, startup_seconds: 0 };
  const usages = pods.map(({ values, first }) => ({ startMs, stepMs, values, first }));
  return (await advised({ ...context, request }, 'cpu', usages, windowMs, true)).advised[0]?.request ?? null;
}

async function advised(
  { deps, request, signal }: Context,
  resource: Resource,
  pods: AdviseTask['pods'],
  windowMs: number,
  together = false,
): Promise<Advice> {
  const others = request.compare ? [towerStrategy, ...thirdPartyStrategies] : [];
  const task: AdviseTask = {
    resource,
    pods,
    together,
    horizonMs: horizonMsOf[request.horizon],
    violation: resource === 'cpu' ? request.violation : request.memory_violation,
    least: resource === 'cpu' ? 0.001 : 2 ** 20,
    // A mean over such a long window still contains the start-up.
    startupMs: request.startup_seconds === 0 ? 0 : request.startup_seconds * 1000 + windowMs,
    strategies: [...new Set([request.strategy, ...others])],
  };
  return deps.pool.run<Advice>('runAdvise', task, { signal });
}

/** Basis of a request, and its value before floors and caps. */
type Decision = { basis: 'usage' | 'capacity'; requestBeforeBounds: number | null; hasEnoughUsage: boolean };

/**
 * Chooses between usage and capacity. CPU follows experiments if there are any. Memory uses the larger of both, since
 * experiments of minutes miss slow growth. Usage counts once its history is long enough; together with experiments a
 * few hours of memory suffice.
 */
function decide(
  resource: Resource,
  byUsage: number | null,
  isLongEnough: boolean,
  byCapacity: number | null,
): Decision {
  const isCpu = resource === 'cpu';
  const hasEnoughUsage = isLongEnough || (!isCpu && byCapacity !== null);
  const usage = hasEnoughUsage ? byUsage : null;
  const isCapacity = byCapacity !== null && (isCpu || usage === null || byCapacity > usage);
  return {
    basis: isCapacity ? 'capacity' : 'usage',
    requestBeforeBounds: isCapacity ? byCapacity : usage,
    hasEnoughUsage,
  };
}

function sizingOf(
  { deps, request, state, planned }: Context,
  resource: Resource,
  advices: Advice,
  current: ContainerState | null,
  share: number,
): Sizing {
  const { known, peak, advised: all } = advices;
  const chosen = all[0]!;
  const isCpu = resource === 'cpu';
  const isLongEnough = hasEnoughHistory(known.hours, request.horizon);
  const byCapacity = planned && (isCpu ? planned.cpu : planned.memory) * share;
  const { basis, requestBeforeBounds, hasEnoughUsage } = decide(resource, chosen.request, isLongEnough, byCapacity);
  const isCapacity = basis === 'capacity';
  const bounds = boundsOn(deps.bounds, request, state, resource, requestBeforeBounds, current);
  const { value: bounded, by: decided, needed } = bounds ?? { value: null, by: 'nothing' as const, needed: 0 };
  // No confidence below the needed value. Memory by capacity exceeds usage by an unknown margin.
  const isStated = bounded !== null && bounded >= needed && (isLongEnough || (isCapacity && isCpu));
  return {
    request: bounded,
    limit: bounded === null ? null : isCpu ? cpuLimit(request, bounded, peak, current, state) : bounded,
    unit: isCpu ? 'cores' : 'bytes',
    current_request: (isCpu ? current?.cpuRequest : current?.memoryRequest) ?? null,
    current_limit: (isCpu ? current?.cpuLimit : current?.memoryLimit) ?? null,
    confidence: isStated ? (isCapacity && isCpu ? planned!.confidence : chosen.confidence) : null,
    bound_by: isCapacity && decided === 'usage' ? 'capacity' : decided,
    unbounded: requestBeforeBounds,
    peak,
    samples: known.samples,
    pods: known.pods,
    explanation: isCapacity
      ? explainCapacity(planned!, resource, share, requestBeforeBounds!, bounds!)
      : explain(request, resource, advices, hasEnoughUsage, bounds),
    experts: chosen.experts,
    factor: chosen.factor,
    compared: all.slice(request.compare ? 0 : 1).map(({ strategy, request: says }) => ({ strategy, request: says })),
  };
}

/** An existing limit stays, and rises to the request if that is above it. */
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
