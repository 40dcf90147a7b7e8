import { isTransient, publicText, TowerError } from '#kernel/errors.ts';
import { type ColumnName, columnNames, type MetricQueries, type PodSeries } from './metric-queries.ts';
import type { Prometheus } from './prometheus.ts';
import { checkWorkload, queryFor, rateWindowMs, type Workload } from './workload-query.ts';

/** Collects the metrics of a workload over a time range. */

/** `queryTimeoutMs`: timeout of a single query, if different from the client's. */
export type TimeRange = { startMs: number; endMs: number; stepMs: number; queryTimeoutMs?: number };

/** `values[i]` at `startMs + i * stepMs`; NaN if unknown. `trouble`: why nothing is known. */
export type CollectedColumn = {
  name: string;
  unit: string;
  /** Its formula from other columns; null if it is queried from Prometheus. */
  formula: string | null;
  query: string | null;
  values: Float64Array;
  /** Share of the steps that have a value. */
  known: number;
  trouble: string | null;
  /** Whether the query failed, so that it is unknown whether there is data. */
  unanswered: boolean;
};

export type Collected = TimeRange & { size: number; columns: CollectedColumn[]; warnings: string[] };

type Source = { prometheus: Prometheus; queries: MetricQueries; scrapeMs: number };

/** Concurrent queries. */
const maxConcurrentQueries = 4;

/**
 * Collects columns of a workload, all by default. A column that fails is empty and has the reason; the others are
 * unaffected.
 * @throws TowerError `invalid` for names that are not valid in Kubernetes, `unavailable` if Prometheus answers no query
 *   at all
 */
export async function collectColumns(
  source: Source,
  workload: Workload,
  timeRange: TimeRange,
  signal?: AbortSignal,
  names: readonly ColumnName[] = columnNames,
): Promise<Collected> {
  checkWorkload(workload);
  const { startMs, endMs, stepMs, queryTimeoutMs } = timeRange;
  const first = Math.ceil(startMs / stepMs) * stepMs;
  const size = Math.max(0, Math.floor((endMs - first) / stepMs) + 1);
  const warnings = new Set<string>();
  let [answered, unanswered] = [0, 0];
  const asked = await mapConcurrent(names, async (name): Promise<CollectedColumn> => {
    const { unit, query: text } = source.queries.columns[name];
    const query = text === '' ? null : queryFor(text, workload, stepMs, source.scrapeMs);
    const values = new Float64Array(size).fill(Number.NaN);
    const column = { name, unit, formula: null, query, values, unanswered: false };
    const limits = [signal, queryTimeoutMs === undefined ? undefined : AbortSignal.timeout(queryTimeoutMs)];
    const limit = AbortSignal.any(limits.filter((each) => each !== undefined));
    if (query === null) return { ...column, known: 0, trouble: noQuery };
    try {
      const grid = await source.prometheus.range(query, startMs, endMs, stepMs, limit);
      answered += 1;
      for (const warning of grid.warnings) warnings.add(warning);
      const [only, second] = grid.series;
      if (only) values.set(only.values);
      const known = knownOf(values);
      return { ...column, known, trouble: second ? manySeries : known === 0 ? noSamples : null };
    } catch (error) {
      signal?.throwIfAborted();
      if (!(error instanceof TowerError && error.code === 'unavailable')) answered += 1;
      else if (!isTransient(error)) throw error;
      else unanswered += 1;
      // If the first concurrent queries get no answer, the other columns are not tried.
      if (answered === 0 && unanswered >= Math.min(maxConcurrentQueries, names.length)) throw error;
      return { ...column, known: 0, trouble: publicText(error), unanswered: isTransient(error) };
    }
  });
  if (names !== columnNames) return { startMs: first, endMs, stepMs, size, columns: asked, warnings: [...warnings] };
  return { startMs: first, endMs, stepMs, size, columns: [...asked, ...derived(asked, size)], warnings: [...warnings] };
}

const noQuery = 'no query is configured: set PROMETHEUS_MESH, or add one to PROMETHEUS_QUERIES_FILE';
const noSamples = 'Prometheus has no samples';
const manySeries = 'the query returned several series; only the first was used';

const knownOf = (values: Float64Array): number =>
  values.length === 0 ? 0 : values.reduce((count, value) => count + (Number.isNaN(value) ? 0 : 1), 0) / values.length;

type Derivation = { unit: string; formula: string; of: ColumnName[]; value(first: number, second: number): number };

/** Derived metrics of the documented API; each is unknown where any of its inputs is. */
const derivations: Record<string, Derivation> = {
  network_activity_rate: {
    unit: 'bytes/s',
    formula: 'net_rx_bytes + net_tx_bytes',
    of: ['net_rx_bytes', 'net_tx_bytes'],
    value: (rx, tx) => rx + tx,
  },
  processing_intensity: {
    unit: 'cores per replica',
    formula: 'cpu_cores / replica_count',
    of: ['cpu_cores', 'replica_count'],
    value: (cpu, replicas) => (replicas > 0 ? cpu / replicas : Number.NaN),
  },
  service_stability: {
    unit: 'share',
    formula: '1 / (1 + pod_restarts)',
    of: ['pod_restarts'],
    value: (restarts) => 1 / (1 + restarts),
  },
  resource_pressure: {
    unit: 'share',
    formula: 'max(node_cpu_util, node_mem_util) / 100',
    of: ['node_cpu_util', 'node_mem_util'],
    value: (cpu, memory) => Math.max(cpu, memory) / 100,
  },
};

function derived(columns: CollectedColumn[], size: number): CollectedColumn[] {
  return Object.entries(derivations).map(([name, { unit, formula, of, value }]) => {
    const inputs = of.map((wanted) => columns.find((column) => column.name === wanted)!);
    const [first, second] = inputs;
    const values = Float64Array.from({ length: size }, (_, i) =>
      value(first!.values[i]!, second?.values[i] ?? Number.NaN),
    );
    const known = knownOf(values);
    const without = inputs.filter((input) => input.known === 0).map((input) => input.name);
    const trouble = known > 0 ? null : without.length > 0 ? `missing: ${without.join(', ')}` : noSamples;
    return { name, unit, formula, query: null, values, known, trouble, unanswered: false };
  });
}

/**
 * Requests per second of a workload: the first of its `series`, which should be the only one; null without a query for
 * it.
 * @throws TowerError as `collectColumns`
 */
export async function collectRequestRate(
  source: Source,
  workload: Workload,
  { startMs, endMs, stepMs }: TimeRange,
  signal?: AbortSignal,
) {
  checkWorkload(workload);
  const text = source.queries.columns.request_rate.query;
  if (text === '') return null;
  const query = queryFor(text, workload, stepMs, source.scrapeMs);
  const grid = await source.prometheus.range(query, startMs, endMs, stepMs, signal);
  const values = grid.series[0]?.values ?? new Float64Array(grid.size).fill(Number.NaN);
  return { startMs: grid.startMs, stepMs, values, series: grid.series.length, warnings: grid.warnings };
}

/** Usage of one container of one pod; NaN while it did not exist. */
export type PodUsage = { pod: string; container: string; values: Float64Array };

/** @throws TowerError `invalid` for names that are not valid in Kubernetes, `unavailable` without an answer */
export async function collectPods(
  source: Source,
  workload: Workload,
  which: PodSeries,
  timeRange: TimeRange,
  signal?: AbortSignal,
) {
  checkWorkload(workload);
  const { startMs, endMs, stepMs } = timeRange;
  const query = queryFor(source.queries.pods[which], workload, stepMs, source.scrapeMs);
  const grid = await source.prometheus.range(query, startMs, endMs, stepMs, signal);
  const pods = grid.series.map(
    ({ labels, values }): PodUsage => ({ pod: labels['pod'] ?? '', container: labels['container'] ?? '', values }),
  );
  const windowMs = rateWindowMs(stepMs, source.scrapeMs);
  return { startMs: grid.startMs, stepMs, windowMs, pods, warnings: grid.warnings };
}

/** Maps with limited concurrency; results in the order of the input. */
async function mapConcurrent<Item, Result>(
  items: readonly Item[],
  work: (item: Item) => Promise<Result>,
): Promise<Result[]> {
  const results: Result[] = [];
  let next = 0;
  const runWorker = async () => {
    for (let i = next++; i < items.length; i = next++) results[i] = await work(items[i]!);
  };
  await Promise.all(Array.from({ length: maxConcurrentQueries }, runWorker));
  return results;
}
