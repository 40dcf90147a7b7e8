import { forEachYielding } from '#kernel/yield-event-loop.ts';
import { createLoggedModelIds, type LoggedModelRow } from '../snapshot/logged-models.ts';
import type { RegistryRows, RunRow } from '../snapshot/snapshot.ts';

/** One logged value of a metric; null if it is NaN or infinite. */
export type MetricPoint = {
  metric: string;
  value: number | null;
  at: number;
  step: number;
  runId: string;
  dataset: string | null;
};

/** A run as in the run list. */
export type Run = Omit<RunRow, 'lateMetrics'> & {
  name: string;
  params: Record<string, string>;
  tags: Record<string, string>;
};

/** A run with its input datasets, in the order they were logged. */
export type RunDetail = Run & { datasets: { name: string; digest: string }[] };

/** Complete rows of a few models: what is missing for a name does not exist. */
export type ModelRows = Pick<RegistryRows, 'models' | 'versions' | 'runs' | 'loggedModels'>;

/** Rows of the current snapshot, which a reader need not fetch again. */
export type CachedState = {
  rows: RegistryRows;
  /** @returns which finished runs and logged models to read again, given what was just read */
  reread: (read: Pick<RegistryRows, 'models' | 'versions'>) => Promise<(id: string) => boolean>;
};

/** Rows of runs known before, and which of the finished ones to read again. */
export type KnownRuns = { rows: Pick<RegistryRows, 'runs'>; reread: (runId: string) => boolean };

/** A source of registry data. Every method throws TowerError `unavailable` if the source cannot answer; none writes. */
export type RegistrySource = {
  /** The URI without credentials. */
  label: string;
  /** Hash of source, user and workspace; a cache file with another one is not used. */
  fingerprint: string;
  /** The whole registry; null if nothing changed since `known` was read from this source. */
  readRegistry(known: CachedState | null, signal: AbortSignal): Promise<RegistryRows | null>;
  /** A few models by name; null if the source cannot answer that. Missing in sources where a full read is as fast. */
  readModels?(names: string[], known: RegistryRows, signal: AbortSignal): Promise<ModelRows | null>;
  /**
   * Newest runs of an experiment, by start time.
   * @throws TowerError `not_found` if the experiment does not exist
   */
  readRuns(experimentId: string, limit: number, signal: AbortSignal): Promise<Run[]>;
  /** A few runs by id, in any state; deleted ones are missing. */
  readRunsById(ids: string[], signal: AbortSignal): Promise<RunDetail[]>;
  /** Runs, not deleted, that have all of these tags; missing in sources that would have to open every run. */
  readTaggedRuns?(tags: Record<string, string>, signal: AbortSignal): Promise<Run[]>;
  /** All points of some metrics of some runs. */
  readHistory(runIds: string[], metrics: string[], signal: AbortSignal): Promise<MetricPoint[]>;
  /** All points of a logged model (MLflow 3); empty if the source has no logged models. */
  readLoggedModel(modelId: string, signal: AbortSignal): Promise<MetricPoint[]>;
  /** Number of runs, not deleted, of an experiment; may be slow. */
  countRuns(experimentId: string, signal: AbortSignal): Promise<number>;
  /** A cheap check whether the source answers. */
  ping(signal: AbortSignal): Promise<void>;
  close(): Promise<void>;
};

/** Whether a run has ended. */
export const isFinished = (status: string): boolean => ['FINISHED', 'FAILED', 'KILLED'].includes(status);

/** The known logged models that need not be read again: those of finished runs that are not to be reread. */
export async function unchangedLoggedModels(
  { versions, runs }: Pick<RegistryRows, 'versions' | 'runs'>,
  known: RegistryRows | null,
  reread: (id: string) => boolean,
): Promise<{ kept: LoggedModelRow[]; wanted: string[] }> {
  const idOf = createLoggedModelIds(versions);
  const active = new Set(runs.filter((run) => !isFinished(run.status)).map((run) => run.runId));
  const isActive = new Map<string, boolean>();
  await forEachYielding(versions, (version) => {
    const id = idOf(version);
    if (id !== null) isActive.set(id, isActive.get(id) || active.has(version.runId ?? ''));
  });
  const kept = (known?.loggedModels ?? []).filter(({ modelId }) => isActive.get(modelId) === false && !reread(modelId));
  const found = new Set(kept.map(({ modelId }) => modelId));
  return { kept, wanted: [...isActive.keys()].filter((id) => !found.has(id)) };
}

/** The last value of each metric by MLflow's definition: greatest step, then time, then value. */
export function lastValues(points: Iterable<MetricPoint>): Record<string, number | null> {
  const last = new Map<string, MetricPoint>();
  for (const point of points) {
    const before = last.get(point.metric);
    if (!before || !isBefore(point, before)) last.set(point.metric, point);
  }
  return sortedRecord([...last].map(([metric, { value }]) => [metric, value] as const));
}

type Valued = Pick<MetricPoint, 'step' | 'at' | 'value'>;

/** Whether a point is superseded by another one of the same metric. */
export function isBefore(a: Valued, b: Valued): boolean {
  if (a.step !== b.step) return a.step < b.step;
  if (a.at !== b.at) return a.at < b.at;
  return (a.value ?? -Infinity) < (b.value ?? -Infinity);
}

/** SQL stores clip infinity to the largest double; neither is a measured value. */
export const finiteOrNull = (value: number): number | null =>
  Number.isFinite(value) && Math.abs(value) < Number.MAX_VALUE ? value : null;

/** A copy with sorted keys, so that one registry serializes identically from every kind of source. */
export function sortedRecord<T>(entries: Iterable<readonly [string, T]>): Record<string, T> {
  return Object.fromEntries([...entries].sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)));
}
