import type { ExperimentWindow } from '#services/acquisition/experiments/load-points.ts';
import type { TimeRange } from '#services/acquisition/prometheus/collect.ts';
import type { Advice, AdviseTask } from '../recommend/advise.ts';
import { hasEnoughHistory, minHours } from '../recommend/explain.ts';
import type { SizeDeps } from '../recommend/size-deps.ts';
import type { SizeAnswer, SizeRequest } from '../schemas.ts';
import { towerStrategy } from '../strategies/names.ts';
import { horizonMsOf, hour } from '../usage.ts';
import { type Capacity, curveAt, type Fitted, fitCapacity, marginAt, type Planned, planFor } from './capacity.ts';
import { dayByForecast } from './forecast-demand.ts';

/**
 * Sizing by capacity: the quantile of traffic that the horizon is to cover, from the forecast engine or from the
 * traffic's history, and the resources one replica needs at its share of it, from experiments.
 */

type Context = {
  deps: SizeDeps;
  request: SizeRequest;
  experimentWindows: readonly ExperimentWindow[];
  signal: AbortSignal;
};
export type ByCapacity = {
  answer: SizeAnswer['capacity'];
  planned: Planned | null;
  note: string | null;
  /** Prometheus' warnings about incomplete results. */
  warnings: string[];
};

/**
 * `planned` is null if usage decides: there are no experiments, or for the reason in `answer.reason`.
 * @param current - current replicas
 * @param scaler - autoscaler of the replicas, if any
 */
export async function byCapacity(
  context: Context,
  target: { namespace: string; service: string },
  timeRange: TimeRange,
  current: number | null,
  scaler: string | null,
): Promise<ByCapacity> {
  const { deps, request } = context;
  const { points, leftOut } = await deps.history.loadPoints(target);
  const nothing: ByCapacity = { answer: null, planned: null, note: null, warnings: [] };
  // Other strategies are used as requested.
  if (request.basis === 'usage' || request.strategy !== towerStrategy) return nothing;
  const isAsked = request.basis === 'capacity' || request.demand_requests_per_second !== undefined;
  if (points.length + leftOut === 0 && !isAsked) return nothing;
  const counts = { experiments: points.length, left_out: leftOut };
  const fallBackToUsage = (reason: string): ByCapacity => ({
    answer: { ...unknown, ...counts, reason },
    planned: null,
    note: null,
    warnings: [],
  });
  const capacity = fitCapacity(points, 1 - request.violation);
  if (typeof capacity === 'string')
    return fallBackToUsage(leftOut > 0 ? `${capacity}; ${leftOut} experiments are of low quality` : capacity);
  if (scaler !== null) return fallBackToUsage(`${scaler} sets the replicas, so the load per replica is unknown`);
  const found = await demandOf(context, target, timeRange, capacity);
  if (typeof found === 'string') return { ...nothing, answer: { ...answerOf(capacity), ...counts, reason: found } };
  const { demand, by, confidences, warnings } = found;
  const { min_replicas: least, max_replicas: most } = request;
  const planned = planFor(capacity, demand, confidences, Math.max(least, current ?? 1), most);
  const minReplicas = planFor(capacity, demand, confidences, least).replicas;
  if (planned.load > capacity.maxLoad * 1.0001)
    return fallBackToUsage(
      `each of ${most} replicas would need to handle ${Math.round(planned.load)} requests/s, the maximum in the experiments is ${Math.round(capacity.maxLoad)}: ${minReplicas} replicas are required`,
    );
  const tight =
    planned.replicas < minReplicas
      ? `${planned.replicas} replicas handle that without headroom; ${minReplicas} would have 20 %`
      : planned.replicas > minReplicas
        ? `by experiments ${minReplicas} of them suffice, with 20 % of headroom: scale first, or set max_replicas, to get a recommendation for that many`
        : null;
  return {
    answer: {
      ...answerOf(capacity, planned.load),
      ...counts,
      demand_requests_per_second: demand,
      demand_by: by,
      replicas: planned.replicas,
      fewest_replicas: minReplicas,
      requests_per_second_of_each: planned.load,
      reason: null,
    },
    planned,
    note: tight,
    warnings,
  };
}

/**
 * `confidences`: probability that the stated share of the horizon stays below the demand, by factor; null if the demand
 * is given.
 */
type Demand = {
  demand: number;
  by: 'request' | 'forecast' | 'quantiles';
  confidences: readonly number[] | null;
  warnings: string[];
};

/** Requests per second that the stated share of the horizon stays below, or the reason why it is unknown. */
async function demandOf(
  { deps, request, experimentWindows, signal }: Context,
  target: { namespace: string; service: string },
  timeRange: TimeRange,
  { loadFrom }: Capacity,
): Promise<Demand | string> {
  const expected = request.demand_requests_per_second;
  if (expected !== undefined) return { demand: expected, by: 'request', confidences: null, warnings: [] };
  if (loadFrom === 'load_test')
    return 'experiments counted the requests of the load test instead of the service’s: set PROMETHEUS_MESH or a query for request_rate, or set demand_requests_per_second';
  const rate = await deps.history.requestRate(target, timeRange, experimentWindows, signal);
  if (!rate) return 'no query for request_rate: set PROMETHEUS_MESH, or set demand_requests_per_second';
  if (rate.series > 1) return `the query for request_rate returned ${rate.series} series instead of one: use a sum`;
  const { warnings } = rate;
  const hours = (rate.values.filter((value) => !Number.isNaN(value)).length * rate.stepMs) / hour;
  if (!hasEnoughHistory(hours, request.horizon))
    return `history of request_rate has ${hours.toFixed(1)} hours, ${minHours[request.horizon]} are required`;
  // The engine is used for a day only; an hour has too few cycles to learn from.
  const byForecast =
    request.horizon === '24h' ? await dayByForecast(deps.forecaster, rate, request.violation, signal) : null;
  if (byForecast !== null)
    return { demand: byForecast.level, by: 'forecast', confidences: byForecast.confidences, warnings };
  const task: AdviseTask = {
    resource: 'cpu',
    pods: [{ ...rate, first: 0 }],
    together: false,
    horizonMs: horizonMsOf[request.horizon],
    violation: request.violation,
    least: 0.001,
    startupMs: 0,
    strategies: [towerStrategy],
  };
  const { advised } = await deps.pool.run<Advice>('runAdvise', task, { signal });
  const { request: demand = null, confidences = null } = advised[0] ?? {};
  return demand === null || confidences === null
    ? 'Prometheus has no samples of request_rate'
    : { demand, by: 'quantiles', confidences, warnings };
}

const unknown = {
  scenario: null,
  load_from: null,
  levels: null,
  tried_requests_per_second: null,
  cpu: null,
  memory: null,
  demand_requests_per_second: null,
  demand_by: null,
  replicas: null,
  fewest_replicas: null,
  requests_per_second_of_each: null,
};

/**
 * @param load - requests per second per replica, if known
 */
const answerOf = ({ scenario, loadFrom, levels, maxLoad, cpu, memory }: Capacity, load = maxLoad) => ({
  ...unknown,
  scenario,
  load_from: loadFrom,
  levels,
  tried_requests_per_second: maxLoad,
  cpu: curveOf(cpu, maxLoad, load),
  memory: curveOf(memory, maxLoad, load),
});

const curveOf = (curve: Fitted, maxLoad: number, load: number) => ({
  base: curve.base,
  per_request: curve.perRequest,
  per_request_squared: curve.perSquare,
  at_most_tried: curveAt(curve, maxLoad),
  error: curve.error,
  margin: marginAt(curve, load),
});
