import { type Clock, isoTime } from '#kernel/clock.ts';
import { invalid, misconfigured } from '#kernel/errors.ts';
import type { HttpClient } from '#kernel/http-client.ts';
import { moment, wholeNumber } from '#kernel/query.ts';
import { createCollected } from './experiments/collected.ts';
import { createExperimentJobs, type ExperimentDeps } from './experiments/experiment-jobs.ts';
import type { KubernetesClient } from './kubernetes/client.ts';
import { createCluster } from './kubernetes/cluster.ts';
import { checkJmeter, type Jmeter, loadByJmeter } from './load/jmeter-run.ts';
import { createLoadJobs } from './load/jobs.ts';
import { type Load, loadOnThread } from './load/thread.ts';
import { createOverview } from './overview.ts';
import { collectColumns, collectPods, type TimeRange } from './prometheus/collect.ts';
import { createHistory } from './prometheus/history.ts';
import type { ColumnName, MetricQueries } from './prometheus/metric-queries.ts';
import { createPrometheus, type Prometheus } from './prometheus/prometheus.ts';
import type { Workload } from './prometheus/workload-query.ts';
import type { MetricsQuery, PrometheusStatus, RangeAnswer, RangeQuery, WorkloadMetrics } from './schemas.ts';

/** Data acquisition: metrics of workloads, from Prometheus. */
export type Acquisition = ReturnType<typeof createAcquisition>;

type Deps = {
  /** Null if no Prometheus is configured. */
  http: HttpClient | null;
  queries: MetricQueries;
  /** Scrape interval: a rate needs four scrapes. */
  scrapeMs: number;
  clock: Clock;
  experimentsDirectory: string;
  /** Null if no cluster is configured. */
  kubernetes: KubernetesClient | null;
  /** Null if none is configured. */
  jmeter: Jmeter | null;
  /** Trained models; a damaged one has an error. */
  models: () => Promise<{ service: string; error: string | null }[]>;
} & Pick<ExperimentDeps, 'queue' | 'targets' | 'log' | 'onExperiment' | 'audit'>;

/** Timeout of a health check, which is not retried. */
const probeMs = 5_000;
const maxMinutes = 44_640;
/** Maximum values of a series in an answer. */
const maxSteps = 50_000;

export function createAcquisition(deps: Deps) {
  const { http, queries, scrapeMs, clock, experimentsDirectory, kubernetes } = deps;
  const prometheus = http && createPrometheus({ http, clock });
  const source = () => {
    if (prometheus) return { prometheus, queries, scrapeMs };
    throw misconfigured('Prometheus is not configured: set PROMETHEUS_URL', { parameter: 'PROMETHEUS_URL' });
  };
  const testConnection = async (signal?: AbortSignal): Promise<PrometheusStatus> =>
    prometheus
      ? { configured: true, ...(await prometheus.testConnection(signal ?? AbortSignal.timeout(probeMs))) }
      : { configured: false, reachable: false, version: null, latency_ms: null, error: 'PROMETHEUS_URL is not set' };
  const collect = async (
    workload: Workload,
    timeRange: TimeRange,
    signal: AbortSignal,
    names?: readonly ColumnName[],
  ) => collectColumns(source(), workload, timeRange, signal, names);
  const cluster = createCluster({
    client: kubernetes,
    collect,
    throttled: async (workload, timeRange, signal) =>
      (await collectPods(source(), workload, 'throttled', timeRange, signal)).pods,
    clock,
  });
  const load: Load = async (task, ...rest) =>
    task.generator === 'jmeter' ? loadByJmeter(checkJmeter(deps.jmeter), task, ...rest) : loadOnThread(task, ...rest);
  const jobs = createExperimentJobs({
    ...deps,
    client: kubernetes,
    directory: experimentsDirectory,
    answering: async (signal) => void (await source().prometheus.instant('vector(1)', clock.now(), signal)),
    collect,
    load,
  });
  return {
    experiments: createCollected(experimentsDirectory),
    jobs,
    loadTests: createLoadJobs({ ...deps, load, refuseShared: jobs.refuseShared }),
    overview: createOverview({
      ...deps,
      client: kubernetes,
      testConnection,
      jobs: jobs.list,
      directory: experimentsDirectory,
    }),
    cluster,
    /** Never throws. */
    testConnection,
    /** @throws TowerError `invalid`, `unavailable` */
    metrics: async (workload: Workload, query: MetricsQuery) => metricsOf(source(), workload, query, clock.now()),
    /** @throws TowerError `invalid`, `unavailable` */
    range: async (query: RangeQuery): Promise<RangeAnswer> => rangeOf(source().prometheus, query),
    history: createHistory({ source, directory: experimentsDirectory, cluster, clock }),
    stop: async (): Promise<void> => prometheus?.close(),
  };
}

async function metricsOf(
  source: Parameters<typeof collectColumns>[0],
  workload: Workload,
  query: MetricsQuery,
  now: number,
): Promise<WorkloadMetrics> {
  const timeRange = timeRangeOf(query, now);
  const { startMs, stepMs, size, columns, warnings } = await collectColumns(source, workload, timeRange);
  return {
    ...workload,
    start: isoTime(startMs)!,
    step_seconds: stepMs / 1000,
    steps: size,
    columns: Object.fromEntries(
      columns.map(({ name, values, ...column }) => [name, { ...column, values: listOf(values) }]),
    ),
    missing: columns.filter(({ known }) => known === 0).map(({ name }) => name),
    warnings,
  };
}

async function rangeOf(prometheus: Prometheus, { query, start, end, step_seconds }: RangeQuery): Promise<RangeAnswer> {
  const [startMs, endMs] = [moment('start', start), moment('end', end)];
  const stepMs = wholeNumber('step_seconds', step_seconds ?? '30', 1, 86_400) * 1000;
  if (endMs < startMs) throw invalid('end must not be before start', { parameter: 'end' });
  refuseTooMany((endMs - startMs) / stepMs);
  const grid = await prometheus.range(query, startMs, endMs, stepMs);
  return {
    start: isoTime(grid.startMs)!,
    step_seconds: stepMs / 1000,
    steps: grid.size,
    series: grid.series.map(({ labels, values }) => ({ labels, values: listOf(values) })),
    warnings: grid.warnings,
  };
}

function timeRangeOf(query: MetricsQuery, now: number): TimeRange {
  const minutes = wholeNumber('duration_minutes', query.duration_minutes ?? '15', 1, maxMinutes);
  const endMs = query.end === undefined ? now : moment('end', query.end);
  const preset = Math.max(15, Math.ceil((minutes * 60) / 30));
  const stepMs = wholeNumber('step_seconds', query.step_seconds ?? String(preset), 1, 86_400) * 1000;
  refuseTooMany((minutes * 60_000) / stepMs);
  return { startMs: endMs - minutes * 60_000, endMs, stepMs };
}

function refuseTooMany(steps: number): void {
  if (steps > maxSteps)
    throw invalid(`step_seconds would make ${Math.ceil(steps)} steps; the maximum is ${maxSteps}`, {
      parameter: 'step_seconds',
    });
}

const listOf = (values: Float64Array): (number | null)[] =>
  Array.from(values, (value) => (Number.isNaN(value) ? null : value));
