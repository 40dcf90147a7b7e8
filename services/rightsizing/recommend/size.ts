import { isoTime } from '#kernel/clock.ts';
import type { Workload } from '#services/acquisition/prometheus/workload-query.ts';
import { byCapacity } from '../capacity/demand.ts';
import type { SizeAnswer, SizeRequest } from '../schemas.ts';
import { day, horizonMsOf, stepMsOf } from '../usage.ts';
import { refuseContradictions } from './bounds.ts';
import { containersNow } from './containers.ts';
import { costOf } from './cost.ts';
import {
  abstentionReason,
  dataQualityNotes,
  experimentWindowNotes,
  notesOf,
  replicaNotes,
  shortenedHistoryNotes,
} from './explain.ts';
import { outputsOf, type RelatedChanges } from './outputs.ts';
import { readAll } from './read.ts';
import { hpaOf, scalerPatch, sizeReplicas, unsetTargets } from './scaling.ts';
import { adviseContainer, demandOf, sizeToFitNode } from './size-containers.ts';
import type { SizeDeps } from './size-deps.ts';

/** Computes a recommendation, with explanations, from the history of a workload. */

/**
 * @throws TowerError `invalid` for invalid Kubernetes names, `unavailable` if Prometheus or the worker threads do not
 *   answer
 */
export async function sizeWorkload(
  deps: SizeDeps,
  target: Workload,
  sizeRequest: SizeRequest,
  now: number,
  signal: AbortSignal,
): Promise<SizeAnswer> {
  refuseContradictions(sizeRequest);
  const stepMs = stepMsOf[sizeRequest.horizon];
  const requestedRange = { startMs: now - sizeRequest.history_days * day, endMs: now, stepMs };
  const read = await readAll(deps.history, target, requestedRange, sizeRequest.kind, signal);
  const { timeRange, cpu, memory, state, written, experimentWindows, kind } = read;
  const request = { ...sizeRequest, kind };
  const scaler = state.hpa ? `the autoscaler ${state.hpa.name}` : kind === 'DaemonSet' ? 'a DaemonSet' : null;
  const part = { deps, request, experimentWindows, signal };
  const byExperiments = await byCapacity(part, target, requestedRange, state.replicas, scaler);
  const { answer: capacity, planned, note } = byExperiments;
  const warnings = [...new Set([cpu, memory, state, byExperiments].flatMap((each) => each.warnings))];
  const context = { ...part, state, template: written?.containers ?? null, planned };
  const { names, notes } = containersNow([cpu, memory], state.nativeSidecars, now);
  const advices = await Promise.all(names.map((name) => adviseContainer(context, name, cpu, memory)));
  const containers = sizeToFitNode(context, advices);
  const allContainers = { ...cpu, pods: cpu.pods.filter(({ container }) => names.includes(container)) };
  const replicas = sizeReplicas(request, state, await demandOf(context, allContainers), containers, planned);
  const [hpa, hpaMemory] = [hpaOf(state, 'cpu', containers), hpaOf(state, 'memory', containers)];
  const targets = { cpu: hpa, memory: hpaMemory };
  const relatedChanges = {
    replicas: planned && planned.replicas !== state.replicas ? planned.replicas : null,
    scaler: scalerPatch(written?.scaler ?? null, targets),
  };
  return {
    ...target,
    kind,
    generated_at: isoTime(now)!,
    strategy: request.strategy,
    horizon_seconds: horizonMsOf[request.horizon] / 1000,
    history: { start: isoTime(timeRange.startMs)!, end: isoTime(now)!, step_seconds: stepMs / 1000 },
    containers,
    replicas,
    hpa,
    hpa_memory: hpaMemory,
    capacity,
    warnings,
    notes: [
      ...dataQualityNotes([cpu, memory], warnings),
      ...read.notes,
      ...notes,
      ...shortenedHistoryNotes(requestedRange, timeRange),
      ...experimentWindowNotes(experimentWindows),
      ...notesOf(state, containers),
      ...unsetTargets(relatedChanges.scaler, written?.scaler ?? null, targets),
      ...replicaNotes(planned, state.replicas),
      ...(note === null ? [] : [note]),
    ],
    cost: costOf(deps.prices, containers, state.replicas, planned?.replicas ?? null),
    ...outcomeOf({ ...target, kind }, request, containers, relatedChanges, warnings),
  };
}

/** What can be applied, or the reason why nothing can. */
function outcomeOf(
  target: Parameters<typeof outputsOf>[0],
  request: SizeRequest,
  containers: Container[],
  relatedChanges: RelatedChanges,
  warnings: readonly string[],
): Pick<SizeAnswer, 'status' | 'reason' | 'confidence' | 'outputs'> {
  const sized = containers.filter(
    ({ sidecar, cpu: { request: cores }, memory: { request: bytes } }) =>
      !sidecar && (cores !== null || bytes !== null),
  );
  return sized.length === 0
    ? { status: 'abstained', reason: abstentionReason(request, containers, warnings), confidence: null, outputs: null }
    : {
        status: 'success',
        reason: null,
        confidence: minConfidence(sized),
        outputs: outputsFor(target, sized, relatedChanges),
      };
}

type Container = SizeAnswer['containers'][number];

function minConfidence(containers: Container[]): number | null {
  const confidences = containers
    .flatMap(({ cpu, memory }) => [cpu.confidence, memory.confidence])
    .filter((value) => value !== null);
  return confidences.length === 0 ? null : Math.min(...confidences);
}

const outputsFor = (target: Parameters<typeof outputsOf>[0], containers: Container[], relatedChanges: RelatedChanges) =>
  outputsOf(
    target,
    containers.map(({ container, cpu, memory }) => ({
      container,
      cpuCores: cpu.request,
      memoryBytes: memory.request,
      cpuLimitCores: cpu.limit,
    })),
    relatedChanges,
  );
