import type { Clock } from '#kernel/clock.ts';
import { invalid, notFound, publicText, TowerError, unavailable } from '#kernel/errors.ts';
import { entryUrl } from '#kernel/program-files.ts';
import type { WorkerPool } from '#kernel/worker-pool.ts';
import type { Cluster } from '#services/acquisition/kubernetes/cluster.ts';
import type { History } from '#services/acquisition/prometheus/history.ts';
import type { Workload } from '#services/acquisition/prometheus/metric-queries.ts';
import type { NamedWorkload } from '#services/acquisition/prometheus/workload-state.ts';
import type { Queue } from '#store/queue.ts';
import { createApplyJobs, type NoteOutcome, type OnApplied } from './apply/apply-jobs.ts';
import type {
  BacktestAnswer,
  BacktestRequest,
  StrategyList,
  WorkloadBacktestRequest,
} from './backtest/backtest-schemas.ts';
import type { Forecaster } from './capacity/forecast-demand.ts';
import type { Bounds } from './recommend/bounds.ts';
import { type Prices, sumOfCosts } from './recommend/cost.ts';
import type { BatchAnswer, BatchRequest, SizeAnswer, SizeRequest } from './schemas.ts';
import { day, horizonMsOf, hour, stepMsOf, strideOf, type Usage } from './usage.ts';

/** What containers should ask for: recommendations, and how they would have done. */
export type Rightsizing = ReturnType<typeof createRightsizing>;

/** The file of the pool's threads. */
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

/** Workloads of one batch. */
const mostServices = 50;

export function createRightsizing(deps: Deps) {
  const { history, clock, timeoutMs, prices } = deps;
  const size = async (target: Workload, request: SizeRequest, gone?: AbortSignal): Promise<SizeAnswer> => {
    const { sizeWorkload } = await import('./recommend/size.ts');
    return inTime(timeoutMs, gone, (signal) => sizeWorkload(deps, target, request, clock.now(), signal));
  };
  return {
    apply: createApplyJobs({ ...deps, recommend: size }),
    strategies: async (): Promise<StrategyList> =>
      (await import('./backtest/backtest.ts')).strategies.map(({ name, about, floors }) => ({
        name,
        about,
        floors: { cpu_cores: floors.cpu, memory_bytes: floors.memory },
      })),
    /** Ends when nobody waits for it any more, as all of these. @throws TowerError `invalid`, `unavailable` */
    recommend: size,
    /** One that fails keeps none of the others from it. @throws TowerError `invalid`, `not_found`, `unavailable` */
    recommendAll: async (
      namespace: string,
      { services, kind, after, ...request }: BatchRequest,
      gone?: AbortSignal,
    ): Promise<BatchAnswer> => {
      if (services && after !== undefined)
        throw invalid('after is of all workloads of a namespace, not of services that are named', {
          parameter: 'after',
        });
      const named = await namedIn(history, namespace, services, kind);
      const all = after === undefined ? named : named.filter((each) => placeOf(each) > after);
      const page = all.slice(0, mostServices);
      const recommendations: SizeAnswer[] = [];
      const failures: BatchAnswer['failures'] = [];
      let silent: TowerError[] = [];
      for (const { service, kind: own } of page) {
        // One may be too much for it; where Prometheus does not answer for one after the other, it will not for more.
        if (silent.length >= 3) {
          failures.push({ service, error: `not asked: ${silent[0]!.message}` });
          continue;
        }
        try {
          recommendations.push(await size({ namespace, service }, { ...request, kind: own }, gone));
          silent = [];
        } catch (error) {
          gone?.throwIfAborted();
          if (error instanceof TowerError && error.code === 'unavailable' && !isOwnLimit(error)) silent.push(error);
          failures.push({ service, error: publicText(error) });
        }
      }
      if (recommendations.length === 0 && silent.length > 0) throw silent[0]!;
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

/** Where a workload stands among those of its namespace, which come in this order. */
const placeOf = ({ service, kind }: NamedWorkload): string => `${service} ${kind}`;

/** What took too long for this tower says nothing of Prometheus. */
const isOwnLimit = ({ cause }: TowerError): boolean => (cause as Error | undefined)?.name === 'TimeoutError';

/** @throws TowerError `not_found` where there is none */
async function namedIn(
  history: History,
  namespace: string,
  services: BatchRequest['services'],
  kind: BatchRequest['kind'],
): Promise<NamedWorkload[]> {
  const there = await history.workloads(namespace);
  const known = kind === undefined ? there : there.filter((each) => each.kind === kind);
  const all = services
    ? services.map(
        (service) => known.find((each) => each.service === service) ?? { service, kind: kind ?? 'Deployment' },
      )
    : known;
  if (all.length === 0)
    throw notFound(`Prometheus knows no ${kind ?? 'Deployment, StatefulSet or DaemonSet'} in ${namespace}`, {
      namespace,
    });
  return all;
}

function backtestsOf({ history, pool, clock, timeoutMs }: Deps) {
  const backtestOf = async (
    given: Usage,
    request: Omit<BacktestRequest, 'values' | 'step_seconds'>,
    gone?: AbortSignal,
  ): Promise<BacktestAnswer> => {
    const { resource, warm_up_days, own_floors, title } = request;
    const horizonMs = horizonMsOf[request.horizon];
    const usage = knownPart(given);
    refuseShort(usage, horizonMs, warm_up_days * day);
    const settings = { resource, horizonMs, warmUpMs: warm_up_days * day, floors: own_floors };
    const task = { usage, settings, strategies: request.strategies ?? null, title };
    type Result = Pick<BacktestAnswer, 'summaries' | 'picture'>;
    const { summaries, picture } = await inTime(timeoutMs, gone, (signal) =>
      pool.run<Result>('runBacktest', task, { signal }),
    );
    return {
      resource,
      horizon_seconds: horizonMs / 1000,
      step_seconds: usage.stepMs / 1000,
      samples: usage.values.filter((value) => !Number.isNaN(value)).length,
      windows: Math.floor((usage.values.length * usage.stepMs - warm_up_days * day) / horizonMs),
      summaries,
      picture,
    };
  };
  return {
    /** @throws TowerError `invalid` for a series too short, `unavailable` */
    backtest: async (
      { values, step_seconds, start, ...request }: BacktestRequest,
      gone?: AbortSignal,
    ): Promise<BacktestAnswer> => backtestOf(usageOf(values, step_seconds * 1000, start), request, gone),
    /** The busiest pod of a workload's container. @throws TowerError `invalid`, `not_found`, `unavailable` */
    backtestWorkload: async (
      target: Workload,
      { history_days, container, ...request }: WorkloadBacktestRequest,
      gone?: AbortSignal,
    ): Promise<BacktestAnswer> => {
      const { hottestOf } = await import('./recommend/advise.ts');
      const endMs = clock.now();
      const stretch = { startMs: endMs - history_days * day, endMs, stepMs: stepMsOf[request.horizon] };
      const tried = await history.tried(target, stretch);
      const { startMs, stepMs, pods } = await inTime(timeoutMs, gone, (signal) =>
        history.pods(target, request.resource, stretch, tried, signal),
      );
      const wanted = container ?? busiest(pods);
      const series = pods.filter((pod) => pod.container === wanted).map(({ values }) => ({ startMs, stepMs, values }));
      if (series.length === 0)
        throw notFound(
          `Prometheus knows no ${container === undefined ? 'container' : `container ${container}`} of ${target.service} in ${target.namespace}`,
          { ...target },
        );
      const title = `${target.namespace}/${target.service} ${wanted}, ${request.resource}`;
      return backtestOf(hottestOf(series), { ...request, title }, gone);
    },
  };
}

const usageOf = (values: (number | null)[], stepMs: number, start: string | undefined): Usage => ({
  startMs: start === undefined ? 0 : Date.parse(start),
  stepMs,
  values: Float64Array.from(values, (value) => value ?? Number.NaN),
});

async function inTime<Result>(
  timeoutMs: number,
  gone: AbortSignal | undefined,
  work: (signal: AbortSignal) => Promise<Result>,
): Promise<Result> {
  const limit = AbortSignal.timeout(timeoutMs);
  return work(gone ? AbortSignal.any([limit, gone]) : limit).catch((error: unknown) => {
    if ((error as Error).name !== 'TimeoutError') throw error;
    throw unavailable(
      `it was not done within ${timeoutMs / 1000} s (FORECAST_TIMEOUT_SECONDS); ask for less history, fewer strategies, or later`,
      error,
    );
  });
}

function refuseShort({ stepMs, values }: Usage, horizonMs: number, warmUpMs: number): void {
  const strideMs = strideOf(horizonMs);
  if (strideMs % stepMs !== 0)
    throw invalid(`step_seconds must divide ${strideMs / 1000}`, { parameter: 'step_seconds' });
  const needed = Math.ceil((warmUpMs + horizonMs) / stepMs);
  if (values.length < needed)
    throw invalid(
      `${values.length} values of ${stepMs / 1000} s are too few: ${warmUpMs / day} days of warm-up (warm_up_days) and one horizon take ${needed}`,
      {
        parameter: 'values',
      },
    );
  const known = values.filter((value) => !Number.isNaN(value)).length;
  if (known < values.length / 2)
    throw invalid(`only ${known} of ${values.length} values are known; half of them must be`, { parameter: 'values' });
}

/** From the first to the last that is known; a few at the beginning may be unknown, as those of rates are. */
function knownPart({ startMs, stepMs, values }: Usage): Usage {
  const isKnown = (value: number) => !Number.isNaN(value);
  const first = values.findIndex(isKnown);
  const from = first * stepMs > hour ? first : 0;
  return { startMs: startMs + from * stepMs, stepMs, values: values.subarray(from, values.findLastIndex(isKnown) + 1) };
}

/** The container that used most over all its pods. */
function busiest(pods: readonly { container: string; values: Float64Array }[]): string | undefined {
  const sums = new Map<string, number>();
  for (const { container, values } of pods)
    sums.set(
      container,
      (sums.get(container) ?? 0) + values.reduce((sum, value) => sum + (Number.isNaN(value) ? 0 : value), 0),
    );
  return [...sums].sort(([, a], [, b]) => b - a)[0]?.[0];
}
