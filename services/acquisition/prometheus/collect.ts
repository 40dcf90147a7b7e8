import { isPassing, publicText, TowerError } from '#kernel/errors.ts';
import {
  type ColumnName,
  checkWorkload,
  columnNames,
  type MetricQueries,
  type PodSeries,
  queryFor,
  rateWindowMs,
  type Workload,
} from './metric-queries.ts';
import type { Prometheus } from './prometheus.ts';

/** What Prometheus knows of a workload, over a stretch of time. */

/** `queryTimeoutMs`: longest wait for one query, where it is not that of every call. */
export type TimeRange = { startMs: number; endMs: number; stepMs: number; queryTimeoutMs?: number };

/** `values[i]` at `startMs + i * stepMs`; NaN where nothing is known. `trouble`: why nothing is. */
export type CollectedColumn = {
  name: string;
  unit: string;
  /** How it is made of other columns; null for what is asked of Prometheus. */
  formula: string | null;
  query: string | null;
  values: Float64Array;
  /** Share of the steps with a value. */
  known: number;
  trouble: string | null;
  /** Whether there was no answer, so that nobody knows whether there is something. */
  unanswered: boolean;
};

export type Collected = TimeRange & { size: number; columns: CollectedColumn[]; warnings: string[] };

type Source = { prometheus: Prometheus; queries: MetricQueries; scrapeMs: number };

/** Queries that are open at the same time. */
const abreast = 4;

/**
 * Columns of a workload, all of them if none are named. One that cannot be had is empty and says why; the others stand.
 * @throws TowerError `invalid` for names Kubernetes does not allow, `unavailable` where Prometheus does not answer at all
 */
export async function collectColumns(
  source: Source,
  workload: Workload,
  stretch: TimeRange,
  signal?: AbortSignal,
  names: readonly ColumnName[] = columnNames,
): Promise<Collected> {
  checkWorkload(workload);
  const { startMs, endMs, stepMs, queryTimeoutMs } = stretch;
  const first = Math.ceil(startMs / stepMs) * stepMs;
  const size = Math.max(0, Math.floor((endMs - first) / stepMs) + 1);
  const warnings = new Set<string>();
  let [answered, unanswered] = [0, 0];
  const asked = await mapAbreast(names, async (name): Promise<CollectedColumn> => {
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
      else if (!isPassing(error)) throw error;
      else unanswered += 1;
      // Where it does not answer the first ones it is asked at the same time, it will not for the other columns.
      if (answered === 0 && unanswered >= Math.min(abreast, names.length)) throw error;
      return { ...column, known: 0, trouble: publicText(error), unanswered: isPassing(error) };
    }
  });
  if (names !== columnNames) return { startMs: first, endMs, stepMs, size, columns: asked, warnings: [...warnings] };
  return { startMs: first, endMs, stepMs, size, columns: [...asked, ...derived(asked, size)], warnings: [...warnings] };
}

const noQuery = 'there is no query for it: set PROMETHEUS_MESH, or give one in PROMETHEUS_QUERIES_FILE';
const noSamples = 'Prometheus has no sample of it';
const manySeries = 'the query has several series; only the first was taken';

const knownOf = (values: Float64Array): number =>
  values.length === 0 ? 0 : values.reduce((count, value) => count + (Number.isNaN(value) ? 0 : 1), 0) / values.length;

type Derivation = { unit: string; formula: string; of: ColumnName[]; value(first: number, second: number): number };

/** What the seed calls derived metrics; each is unknown where any of its inputs is. */
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
    const trouble = known > 0 ? null : without.length > 0 ? `there is no ${without.join(' and no ')}` : noSamples;
    return { name, unit, formula, query: null, values, known, trouble, unanswered: false };
  });
}

/** Requests per second of a workload, of the first of its `series`, which should be the only one; null where there is no query for it. @throws TowerError as `collectColumns` */
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

/** One container of one pod, by what it used; NaN where it was not there. */
export type PodUsage = { pod: string; container: string; values: Float64Array };

/** @throws TowerError `invalid` for names Kubernetes does not allow, `unavailable` where Prometheus does not answer */
export async function collectPods(
  source: Source,
  workload: Workload,
  which: PodSeries,
  stretch: TimeRange,
  signal?: AbortSignal,
) {
  checkWorkload(workload);
  const { startMs, endMs, stepMs } = stretch;
  const query = queryFor(source.queries.pods[which], workload, stepMs, source.scrapeMs);
  const grid = await source.prometheus.range(query, startMs, endMs, stepMs, signal);
  const pods = grid.series.map(
    ({ labels, values }): PodUsage => ({ pod: labels['pod'] ?? '', container: labels['container'] ?? '', values }),
  );
  const windowMs = rateWindowMs(stepMs, source.scrapeMs);
  return { startMs: grid.startMs, stepMs, windowMs, pods, warnings: grid.warnings };
}

/** In the order given, a few at a time. */
async function mapAbreast<Item, Result>(
  items: readonly Item[],
  work: (item: Item) => Promise<Result>,
): Promise<Result[]> {
  const results: Result[] = [];
  let next = 0;
  const walk = async () => {
    for (let i = next++; i < items.length; i = next++) results[i] = await work(items[i]!);
  };
  await Promise.all(Array.from({ length: abreast }, walk));
  return results;
}
