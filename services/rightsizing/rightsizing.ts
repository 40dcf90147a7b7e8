import type { Clock } from '#kernel/clock.ts';
import { invalid, notFound, publicText, TowerError } from '#kernel/errors.ts';
import { entryUrl } from '#kernel/program-files.ts';
import type { WorkerPool } from '#kernel/worker-pool.ts';
import type { Cluster } from '#services/acquisition/kubernetes/cluster.ts';
import type { History } from '#services/acquisition/prometheus/history.ts';
import type { Workload } from '#services/acquisition/prometheus/workload-query.ts';
import type { NamedWorkload } from '#services/acquisition/prometheus/workload-state.ts';
import type { Queue } from '#store/queue.ts';
import { createApplyJobs, type NoteOutcome, type OnApplied } from './apply/apply-jobs.ts';
import type {
  BacktestAnswer,
  BacktestRequest,
  StrategyList,
  WorkloadBacktestRequest,
} from './backtest/backtest-schemas.ts';
import { backtestSeries, backtestUsage } from './backtest/run-backtest.ts';
import type { Forecaster } from './capacity/forecast-demand.ts';
import { withTimeout } from './in-time.ts';
import type { Bounds } from './recommend/bounds.ts';
import { type Prices, sumOfCosts } from './recommend/cost.ts';
import type { BatchAnswer, BatchRequest, SizeAnswer, SizeRequest } from './schemas.ts';
import { day, stepMsOf } from './usage.ts';

/** Recommendations, their backtests and their application. */
export type Rightsizing = ReturnType<typeof createRightsizing>;

/** Path of the worker file. */
export const rightsizingWorker = entryUrl('rightsizing.worker');

type Deps = {
  history: History;
  forecaster: Forecaster;
  pool: WorkerPool;
  prices: Prices;
  bounds: Bounds;
  timeoutMs: number;
  clock: Clock;
  cluster: Cluster;
  queue: Queue;
  audit: NoteOutcome;
  onApplied: OnApplied;
};

/** Maximum number of workloads per batch. */
const maxServices = 50;

export function createRightsizing(deps: Deps) {
  const { history, clock, timeoutMs, prices } = deps;
  const size = async (target: Workload, request: SizeRequest, disconnected?: AbortSignal): Promise<SizeAnswer> => {
    const { sizeWorkload } = await import('./recommend/size.ts');
    return withTimeout(timeoutMs, disconnected, (signal) => sizeWorkload(deps, target, request, clock.now(), signal));
  };
  return {
    apply: createApplyJobs({ ...deps, recommend: size }),
    strategies: async (): Promise<StrategyList> =>
      (await import('./backtest/backtest.ts')).strategies.map(({ name, about, floors }) => ({
        name,
        about,
        floors: { cpu_cores: floors.cpu, memory_bytes: floors.memory },
      })),
    /** Ends when the client disconnects. @throws TowerError `invalid`, `unavailable` */
    recommend: size,
    /** Failures do not affect the others. @throws TowerError `invalid`, `not_found`, `unavailable` */
    recommendAll: async (
      namespace: string,
      { services, kind, after, ...request }: BatchRequest,
      disconnected?: AbortSignal,
    ): Promise<BatchAnswer> => {
      if (services && after !== undefined)
        throw invalid('after pages through all workloads of a namespace; it must not be combined with services', {
          parameter: 'after',
        });
      const named = await namedIn(history, namespace, services, kind);
      const all = after === undefined ? named : named.filter((each) => placeOf(each) > after);
      const page = all.slice(0, maxServices);
      const recommendations: SizeAnswer[] = [];
      const failures: BatchAnswer['failures'] = [];
      let unanswered: TowerError[] = [];
      for (const { service, kind: own } of page) {
        // One timeout may be due to the workload; after several in a row Prometheus itself is unavailable.
        if (unanswered.length >= 3) {
          failures.push({ service, error: `skipped: ${unanswered[0]!.message}` });
          continue;
        }
        try {
          recommendations.push(await size({ namespace, service }, { ...request, kind: own }, disconnected));
          unanswered = [];
        } catch (error) {
          disconnected?.throwIfAborted();
          if (error instanceof TowerError && error.code === 'unavailable' && !isOwnLimit(error)) unanswered.push(error);
          failures.push({ service, error: publicText(error) });
        }
      }
      if (recommendations.length === 0 && unanswered.length > 0) throw unanswered[0]!;
      const cost = sumOfCosts(
        prices,
        recommendations.map((answer) => answer.cost),
      );
      const leftOff = all.length - page.length;
      const next = leftOff > 0 ? placeOf(page.at(-1)!) : null;
      return { namespace, recommendations, failures, cost, left_off: leftOff, next };
    },
    ...backtestsOf(deps),
  };
}

/** Sort key of workloads within a namespace. */
const placeOf = ({ service, kind }: NamedWorkload): string => `${service} ${kind}`;

/** Whether an error is a timeout of this service, not of Prometheus. */
const isOwnLimit = ({ cause }: TowerError): boolean => (cause as Error | undefined)?.name === 'TimeoutError';

/** @throws TowerError `not_found` */
async function namedIn(
  history: History,
  namespace: string,
  services: BatchRequest['services'],
  kind: BatchRequest['kind'],
): Promise<NamedWorkload[]> {
  const workloads = await history.workloads(namespace);
  const known = kind === undefined ? workloads : workloads.filter((each) => each.kind === kind);
  const all = services
    ? services.flatMap((service): NamedWorkload[] => {
        const named = known.filter((each) => each.service === service);
        return named.length > 0 ? named : [{ service, kind: kind ?? 'Deployment' }];
      })
    : known;
  if (all.length === 0)
    throw notFound(`Prometheus has no ${kind ?? 'Deployment, StatefulSet or DaemonSet'} in ${namespace}`, {
      namespace,
    });
  return all;
}

function backtestsOf({ history, pool, clock, timeoutMs }: Deps) {
  const deps = { pool, timeoutMs };
  return {
    /** @throws TowerError `invalid` for a series too short, `unavailable` */
    backtest: (request: BacktestRequest, disconnected?: AbortSignal): Promise<BacktestAnswer> =>
      backtestSeries(deps, request, disconnected),
    /** The busiest pod of a workload's container. @throws TowerError `invalid`, `not_found`, `unavailable` */
    backtestWorkload: async (
      target: Workload,
      { history_days, container, ...request }: WorkloadBacktestRequest,
      disconnected?: AbortSignal,
    ): Promise<BacktestAnswer> => {
      const { busiestPod } = await import('./recommend/advise.ts');
      const endMs = clock.now();
      const timeRange = { startMs: endMs - history_days * day, endMs, stepMs: stepMsOf[request.horizon] };
      const experimentWindows = await history.experimentWindows(target, timeRange);
      const { startMs, stepMs, pods } = await withTimeout(timeoutMs, disconnected, (signal) =>
        history.pods(target, request.resource, timeRange, experimentWindows, signal),
      );
      const wanted = container ?? busiest(pods);
      const series = pods.filter((pod) => pod.container === wanted).map(({ values }) => ({ startMs, stepMs, values }));
      if (series.length === 0)
        throw notFound(
          `Prometheus has no ${container === undefined ? 'container' : `container ${container}`} of ${target.service} in ${target.namespace}`,
          { ...target },
        );
      const title = `${target.namespace}/${target.service} ${wanted}, ${request.resource}`;
      return backtestUsage(deps, busiestPod(series), { ...request, title }, disconnected);
    },
  };
}

/** The container with the highest total usage. */
function busiest(pods: readonly { container: string; values: Float64Array }[]): string | undefined {
  const sums = new Map<string, number>();
  for (const { container, values } of pods)
    sums.set(
      container,
      (sums.get(container) ?? 0) + values.reduce((sum, value) => sum + (Number.isNaN(value) ? 0 : value), 0),
    );
  return [...sums].sort(([, a], [, b]) => b - a)[0]?.[0];
}
