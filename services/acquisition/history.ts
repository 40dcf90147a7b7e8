import type { Clock } from '../../src/kernel/clock.ts';
import type { Cluster } from './cluster.ts';
import { collectPods, collectRequestRate, type Stretch } from './collect.ts';
import { leaveOut, loadPoints, type TriedFor, triedFor } from './load-points.ts';
import { type MetricQueries, rateWindowMs, type Workload } from './metric-queries.ts';
import type { Prometheus } from './prometheus.ts';
import { workloadState, workloadsIn } from './state.ts';

/** What those who size ask: what production used and was asked, without what load experiments made of it. */
export type History = ReturnType<typeof createHistory>;

type Deps = {
  /** @throws TowerError `unavailable` where there is no Prometheus */
  source: () => { prometheus: Prometheus; queries: MetricQueries; scrapeMs: number };
  folder: string;
  cluster: Pick<Cluster, 'template'>;
  clock: Clock;
};

/** Names tell nearly as much: a cluster that is slow is not waited for. */
const templateMs = 3_000;

export function createHistory({ source, folder, cluster, clock }: Deps) {
  return {
    /** When load experiments ran in its namespace: what is left out of what follows. @throws TowerError `invalid` */
    tried: async ({ namespace }: Workload, { startMs }: Stretch) => triedFor(folder, namespace, startMs),
    /** What each container of each pod used; `lastMs`: when it was seen last, also where that is left out. @throws TowerError `invalid`, `unavailable` */
    pods: async (
      workload: Workload,
      which: 'cpu' | 'memory',
      stretch: Stretch,
      tried: readonly TriedFor[],
      signal?: AbortSignal,
    ) => {
      const found = await collectPods(source(), workload, which, stretch, signal);
      const pods = found.pods.map(({ values, ...pod }) => {
        const last = values.findLastIndex((value) => !Number.isNaN(value));
        const lastMs = last === -1 ? null : found.startMs + last * found.stepMs;
        leaveOut(values, found, tried, found.windowMs);
        return { ...pod, values, lastMs };
      });
      return { ...found, pods };
    },
    /** What it is asked; null where nobody counts. @throws TowerError `invalid`, `unavailable` */
    requestRate: async (workload: Workload, stretch: Stretch, tried: readonly TriedFor[], signal?: AbortSignal) => {
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
    /** Containers of its pods by its own template; null where no cluster tells. */
    template: async (workload: Workload, signal: AbortSignal): Promise<string[] | null> =>
      cluster.template(workload, AbortSignal.any([signal, AbortSignal.timeout(templateMs)])).catch(() => null),
    /** @throws TowerError `invalid`, `unavailable` */
    workloads: async (namespace: string) => workloadsIn(source(), namespace, clock.now()),
  };
}
