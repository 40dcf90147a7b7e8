import type { Clock } from '../../src/kernel/clock.ts';
import type { Cluster } from './cluster.ts';
import { collectPods, collectRequestRate, type Stretch } from './collect.ts';
import { loadPoints, type TriedFor, triedFor } from './load-points.ts';
import { type MetricQueries, rateWindowMs, type Workload } from './metric-queries.ts';
import type { Prometheus } from './prometheus.ts';
import { workloadState, workloadsIn } from './state.ts';

/** What those who size ask: what production used and was asked, without what load experiments made of it. */
export type History = ReturnType<typeof createHistory>;

type Deps = {
  /** @throws TowerError `unavailable` where there is no Prometheus */
  source: () => { prometheus: Prometheus; queries: MetricQueries; scrapeMs: number };
  folder: string;
  cluster: Pick<Cluster, 'find'>;
  clock: Clock;
};

export function createHistory({ source, folder, cluster, clock }: Deps) {
  const tried = async ({ namespace }: Workload, { startMs }: Stretch) => triedFor(folder, namespace, startMs);
  return {
    /** What each container of each pod used. @throws TowerError `invalid`, `unavailable` */
    pods: async (workload: Workload, which: 'cpu' | 'memory', stretch: Stretch, signal?: AbortSignal) => {
      const [found, times] = await Promise.all([
        collectPods(source(), workload, which, stretch, signal),
        tried(workload, stretch),
      ]);
      for (const { values } of found.pods) leaveOut(values, found, times, found.windowMs);
      return found;
    },
    /** What it is asked; null where nobody counts. @throws TowerError `invalid`, `unavailable` */
    requestRate: async (workload: Workload, stretch: Stretch, signal?: AbortSignal) => {
      const { scrapeMs } = source();
      const rate = await collectRequestRate(source(), workload, stretch, signal);
      if (rate) leaveOut(rate.values, rate, await tried(workload, stretch), rateWindowMs(rate.stepMs, scrapeMs));
      return rate;
    },
    /** When load experiments ran in its namespace. @throws TowerError `invalid` */
    tried,
    /** What its replicas used under load, by its experiments. @throws TowerError `invalid` */
    loadPoints: (workload: Workload) => loadPoints(folder, workload),
    /** What it asks for at present. @throws TowerError `invalid`, `unavailable` */
    state: async (workload: Workload, sinceMs: number, signal?: AbortSignal) =>
      workloadState(source(), workload, { sinceMs, atMs: clock.now() }, signal),
    /** Containers of its pods by its own template; null where no cluster tells. */
    template: async (workload: Workload, signal: AbortSignal): Promise<string[] | null> => {
      const found = await cluster.find(workload, signal).catch(() => null);
      return found?.containers.map(({ name }) => name) ?? null;
    },
    /** @throws TowerError `invalid`, `unavailable` */
    workloads: async (namespace: string) => workloadsIn(source(), namespace, clock.now()),
  };
}

/** Nobody knows what production would have used then. A rate has so much of the time before in it. */
function leaveOut(
  values: Float64Array,
  { startMs, stepMs }: { startMs: number; stepMs: number },
  times: readonly TriedFor[],
  windowMs: number,
): void {
  for (const { fromMs, toMs } of times)
    values.fill(
      Number.NaN,
      Math.max(0, Math.ceil((fromMs - startMs) / stepMs)),
      Math.max(0, Math.floor((toMs + windowMs - startMs) / stepMs) + 1),
    );
}
