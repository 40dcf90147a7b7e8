import type { Clock } from '#kernel/clock.ts';
import { publicText } from '#kernel/errors.ts';
import { type ExperimentWindow, experimentWindows, leaveOut, loadPoints } from '../experiments/load-points.ts';
import type { Cluster } from '../kubernetes/cluster.ts';
import { collectPods, collectRequestRate, type TimeRange } from './collect.ts';
import type { MetricQueries } from './metric-queries.ts';
import type { Prometheus } from './prometheus.ts';
import { rateWindowMs, type Workload } from './workload-query.ts';
import { workloadState, workloadsIn } from './workload-state.ts';

/**
 * History of a workload for right-sizing: usage and requests in production, without the windows of load experiments.
 */
export type History = ReturnType<typeof createHistory>;

type Deps = {
  /** @throws TowerError `unavailable` if no Prometheus is configured */
  source: () => { prometheus: Prometheus; queries: MetricQueries; scrapeMs: number };
  directory: string;
  cluster: Pick<Cluster, 'written'>;
  clock: Clock;
};

/** Upper bounds of plausible samples in cores and bytes; no node is that large. */
const maxSeriesTotal = { cpu: 4096, memory: 2 ** 46 };

/** Timeout of the optional read from the cluster: the pod names suffice, so a slow cluster is not waited for. */
const writtenMs = 3_000;

export function createHistory({ source, directory, cluster, clock }: Deps) {
  return {
    /**
     * Windows of load experiments in the namespace, which are excluded from what follows.
     * @throws TowerError `invalid`
     */
    experimentWindows: async ({ namespace }: Workload, { startMs }: TimeRange) =>
      experimentWindows(directory, namespace, startMs),
    /**
     * Usage of each container of each pod. `first`, `lastMs`: the step at which it was first seen, and the time it was
     * last seen, including excluded windows. `impossible`: number of implausible samples.
     * @throws TowerError `invalid`, `unavailable`
     */
    pods: async (
      workload: Workload,
      which: 'cpu' | 'memory',
      timeRange: TimeRange,
      excluded: readonly ExperimentWindow[],
      signal?: AbortSignal,
    ) => plausible(await collectPods(source(), workload, which, timeRange, signal), maxSeriesTotal[which], excluded),
    /** Request rate; null if no mesh or metric counts requests. @throws TowerError `invalid`, `unavailable` */
    requestRate: async (
      workload: Workload,
      timeRange: TimeRange,
      excluded: readonly ExperimentWindow[],
      signal?: AbortSignal,
    ) => {
      const { scrapeMs } = source();
      const rate = await collectRequestRate(source(), workload, timeRange, signal);
      if (rate) leaveOut(rate.values, rate, excluded, rateWindowMs(rate.stepMs, scrapeMs));
      return rate;
    },
    /** Usage of its replicas under load, from its experiments. @throws TowerError `invalid` */
    loadPoints: (workload: Workload) => loadPoints(directory, workload),
    /** Current requests and limits. @throws TowerError `invalid`, `unavailable` */
    state: async (workload: Workload, sinceMs: number, excluded: readonly ExperimentWindow[], signal?: AbortSignal) =>
      workloadState(source(), workload, { sinceMs, atMs: clock.now(), experimentWindows: excluded }, signal),
    /** Its specification in the cluster, if one is configured; `failure`: why a configured cluster returned none. */
    written: async (workload: Workload, signal: AbortSignal) =>
      cluster.written(workload, AbortSignal.any([signal, AbortSignal.timeout(writtenMs)])).then(
        (written) => ({ written, failure: null }),
        (error: unknown) => ({ written: null, failure: publicText(error) }),
      ),
    /** @throws TowerError `invalid`, `unavailable` */
    workloads: async (namespace: string) => workloadsIn(source(), namespace, clock.now()),
  };
}

/** Removes implausible samples and excluded windows, and finds when each pod was seen. */
function plausible(found: CollectedPods, largest: number, excluded: readonly ExperimentWindow[]) {
  let impossible = 0;
  const pods = found.pods.map(({ values, ...pod }) => {
    for (const [i, value] of values.entries()) {
      if (!(value > largest)) continue;
      values[i] = Number.NaN;
      impossible += 1;
    }
    const first = values.findIndex((value) => !Number.isNaN(value));
    const last = values.findLastIndex((value) => !Number.isNaN(value));
    const lastMs = last === -1 ? null : found.startMs + last * found.stepMs;
    leaveOut(values, found, excluded, found.windowMs);
    return { ...pod, values, first, lastMs };
  });
  return { ...found, pods, impossible };
}

type CollectedPods = Awaited<ReturnType<typeof collectPods>>;
