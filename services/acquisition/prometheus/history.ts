import type { Clock } from '#kernel/clock.ts';
import { publicText } from '#kernel/errors.ts';
import { leaveOut, loadPoints, type TriedFor, triedFor } from '../experiments/load-points.ts';
import type { Cluster } from '../kubernetes/cluster.ts';
import { collectPods, collectRequestRate, type TimeRange } from './collect.ts';
import { type MetricQueries, rateWindowMs, type Workload } from './metric-queries.ts';
import type { Prometheus } from './prometheus.ts';
import { workloadState, workloadsIn } from './workload-state.ts';

/** What those who size ask: what production used and was asked, without what load experiments made of it. */
export type History = ReturnType<typeof createHistory>;

type Deps = {
  /** @throws TowerError `unavailable` where there is no Prometheus */
  source: () => { prometheus: Prometheus; queries: MetricQueries; scrapeMs: number };
  folder: string;
  cluster: Pick<Cluster, 'written'>;
  clock: Clock;
};

/** No node has so much: cores, bytes. What is above it was measured wrongly. */
const mostOfAny = { cpu: 4096, memory: 2 ** 46 };

/** Names tell nearly as much: a cluster that is slow is not waited for. */
const writtenMs = 3_000;

export function createHistory({ source, folder, cluster, clock }: Deps) {
  return {
    /** When load experiments ran in its namespace: what is left out of what follows. @throws TowerError `invalid` */
    tried: async ({ namespace }: Workload, { startMs }: TimeRange) => triedFor(folder, namespace, startMs),
    /**
     * What each container of each pod used; `first`, `lastMs`: the step it was seen at first, and when it was seen last, also where
     * that is left out; `impossible`: samples that no node can have made. @throws TowerError `invalid`, `unavailable`
     */
    pods: async (
      workload: Workload,
      which: 'cpu' | 'memory',
      stretch: TimeRange,
      tried: readonly TriedFor[],
      signal?: AbortSignal,
    ) => {
      const found = await collectPods(source(), workload, which, stretch, signal);
      let impossible = 0;
      const pods = found.pods.map(({ values, ...pod }) => {
        for (const [i, value] of values.entries()) {
          if (!(value > mostOfAny[which])) continue;
          values[i] = Number.NaN;
          impossible += 1;
        }
        const first = values.findIndex((value) => !Number.isNaN(value));
        const last = values.findLastIndex((value) => !Number.isNaN(value));
        const lastMs = last === -1 ? null : found.startMs + last * found.stepMs;
        leaveOut(values, found, tried, found.windowMs);
        return { ...pod, values, first, lastMs };
      });
      return { ...found, pods, impossible };
    },
    /** What it is asked; null where nobody counts. @throws TowerError `invalid`, `unavailable` */
    requestRate: async (workload: Workload, stretch: TimeRange, tried: readonly TriedFor[], signal?: AbortSignal) => {
      const { scrapeMs } = source();
      const rate = await collectRequestRate(source(), workload, stretch, signal);
      if (rate) leaveOut(rate.values, rate, tried, rateWindowMs(rate.stepMs, scrapeMs));
      return rate;
    },
    /** What its replicas used under load, by its experiments. @throws TowerError `invalid` */
    loadPoints: (workload: Workload) => loadPoints(folder, workload),
    /** What it asks for at present. @throws TowerError `invalid`, `unavailable` */
    state: async (workload: Workload, sinceMs: number, tried: readonly TriedFor[], signal?: AbortSignal) =>
      workloadState(source(), workload, { sinceMs, atMs: clock.now(), tried }, signal),
    /** What is written of it in the cluster, where one tells; `trouble`: why one that is configured does not. */
    written: async (workload: Workload, signal: AbortSignal) =>
      cluster.written(workload, AbortSignal.any([signal, AbortSignal.timeout(writtenMs)])).then(
        (written) => ({ written, trouble: null }),
        (error: unknown) => ({ written: null, trouble: publicText(error) }),
      ),
    /** @throws TowerError `invalid`, `unavailable` */
    workloads: async (namespace: string) => workloadsIn(source(), namespace, clock.now()),
  };
}
