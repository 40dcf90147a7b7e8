import { TowerError } from '#kernel/errors.ts';
import type { TriedFor } from '#services/acquisition/experiments/load-points.ts';
import type { PodUsage, TimeRange } from '#services/acquisition/prometheus/collect.ts';
import type { History } from '#services/acquisition/prometheus/history.ts';
import type { Workload } from '#services/acquisition/prometheus/metric-queries.ts';
import type { SizeRequest } from '../schemas.ts';
import { day } from '../usage.ts';

/** Reads usage and state of a workload before it is sized. */

/** `first`: first step with a sample, or -1; `lastMs`: time of the last one; both include steps without values. */
export type SeenPod = PodUsage & { first: number; lastMs: number | null };
/** `windowMs`: averaging window of each CPU value. */
export type Pods = {
  startMs: number;
  stepMs: number;
  windowMs: number;
  pods: SeenPod[];
  /** Number of impossible samples, which are left out. */
  impossible: number;
  /** Prometheus' warnings about incomplete results. */
  warnings: string[];
};

/**
 * @param kind - workload kind; detected if not given
 */
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

/** Whether a shorter history could succeed. */
const isTooMuch = (error: unknown): boolean =>
  error instanceof TowerError && ('most_values' in error.details || 'most_bytes' in error.details);

/** Halves the history until the response is small enough. */
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
