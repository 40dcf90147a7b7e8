import { invalid, TowerError } from '#kernel/errors.ts';
import type { ExperimentWindow } from '#services/acquisition/experiments/load-points.ts';
import type { PodUsage, TimeRange } from '#services/acquisition/prometheus/collect.ts';
import type { History } from '#services/acquisition/prometheus/history.ts';
import type { Workload } from '#services/acquisition/prometheus/workload-query.ts';
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
  const experimentWindows = await history.experimentWindows(target, wanted);
  const known = kind ?? (await kindOf(history, target));
  const workload = { ...target, kind: known };
  const { timeRange, cpu, memory } = await podsOf(history, workload, wanted, experimentWindows, signal);
  const [state, { written, failure }] = await Promise.all([
    history.state(workload, timeRange.startMs, experimentWindows, signal),
    history.written(target, signal),
  ]);
  const notes =
    failure === null ? [] : [`the cluster’s template is unavailable, so sidecars are detected by name: ${failure}`];
  return { timeRange, cpu, memory, state, written, experimentWindows, kind: known ?? 'Deployment', notes };
}

/** The kind of the only workload of that name; undefined if Prometheus knows none. @throws TowerError `invalid` */
async function kindOf(history: History, { namespace, service }: Workload): Promise<SizeRequest['kind']> {
  const kinds = (await history.workloads(namespace))
    .filter((each) => each.service === service)
    .map((each) => each.kind);
  if (kinds.length > 1)
    throw invalid(`${namespace} has a ${kinds.join(' and a ')} named ${service}: set kind (--kind)`, {
      parameter: 'kind',
    });
  return kinds[0];
}

/** Whether a shorter history could succeed. */
const isTooMuch = (error: unknown): boolean =>
  error instanceof TowerError && ('most_values' in error.details || 'most_bytes' in error.details);

/** Halves the history until the response is small enough. */
async function podsOf(
  history: History,
  target: Workload,
  timeRange: TimeRange,
  experimentWindows: readonly ExperimentWindow[],
  signal: AbortSignal,
): Promise<{ timeRange: TimeRange; cpu: Pods; memory: Pods }> {
  try {
    const [cpu, memory] = await Promise.all([
      history.pods(target, 'cpu', timeRange, experimentWindows, signal),
      history.pods(target, 'memory', timeRange, experimentWindows, signal),
    ]);
    return { timeRange, cpu, memory };
  } catch (error) {
    const { startMs, endMs } = timeRange;
    if (!isTooMuch(error) || endMs - startMs <= day) throw error;
    const shorterMs = Math.max(day, (endMs - startMs) / 2);
    return podsOf(history, target, { ...timeRange, startMs: endMs - shorterMs }, experimentWindows, signal);
  }
}
