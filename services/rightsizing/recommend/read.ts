import { TowerError } from '#kernel/errors.ts';
import type { TriedFor } from '#services/acquisition/experiments/load-points.ts';
import type { PodUsage, TimeRange } from '#services/acquisition/prometheus/collect.ts';
import type { History } from '#services/acquisition/prometheus/history.ts';
import type { Workload } from '#services/acquisition/prometheus/metric-queries.ts';
import type { SizeRequest } from '../schemas.ts';
import { day } from '../usage.ts';

/** What is read of a workload before it is sized. */

/** `first`: the step it was seen at first, -1 of one that never was; `lastMs`: when last; both also where that is left out of the values. */
export type SeenPod = PodUsage & { first: number; lastMs: number | null };
/** `windowMs`: what each value of CPU is the mean of. */
export type Pods = {
  startMs: number;
  stepMs: number;
  windowMs: number;
  pods: SeenPod[];
  /** Samples that no node can have made, left out. */
  impossible: number;
  /** What Prometheus says of answers that may not be whole. */
  warnings: string[];
};

/** @param kind - what it is said to be; what Prometheus knows it as where nothing is said */
export async function readAll(
  history: History,
  target: Workload,
  wanted: TimeRange,
  kind: SizeRequest['kind'],
  signal: AbortSignal,
) {
  const tried = await history.tried(target, wanted);
  const { stretch, cpu, memory } = await podsOf(history, target, wanted, tried, signal);
  const [state, { written, trouble }, workloads] = await Promise.all([
    history.state(target, stretch.startMs, tried, signal),
    history.written(target, signal),
    kind === undefined ? history.workloads(target.namespace) : [],
  ]);
  const known = workloads.find(({ service }) => service === target.service)?.kind;
  const notes =
    trouble === null
      ? []
      : [`the cluster does not say what is written of it, so names tell what is injected: ${trouble}`];
  return { stretch, cpu, memory, state, written, tried, kind: kind ?? known ?? 'Deployment', notes };
}

/** Whether less history would do. */
const isTooMuch = (error: unknown): boolean =>
  error instanceof TowerError && ('most_values' in error.details || 'most_bytes' in error.details);

/** Of so many pods that one answer cannot hold it, half the history, and half of that. */
async function podsOf(
  history: History,
  target: Workload,
  stretch: TimeRange,
  tried: readonly TriedFor[],
  signal: AbortSignal,
): Promise<{ stretch: TimeRange; cpu: Pods; memory: Pods }> {
  try {
    const [cpu, memory] = await Promise.all([
      history.pods(target, 'cpu', stretch, tried, signal),
      history.pods(target, 'memory', stretch, tried, signal),
    ]);
    return { stretch, cpu, memory };
  } catch (error) {
    const { startMs, endMs } = stretch;
    if (!isTooMuch(error) || endMs - startMs <= day) throw error;
    const shorterMs = Math.max(day, (endMs - startMs) / 2);
    return podsOf(history, target, { ...stretch, startMs: endMs - shorterMs }, tried, signal);
  }
}
