import type { RegistryRows, RunRow } from '../snapshot/snapshot.ts';

/** One value of a metric, as logged; null where it is NaN or infinite. */
export type MetricPoint = {
  metric: string;
  value: number | null;
  at: number;
  step: number;
  runId: string;
  dataset: string | null;
};

/** A run as the run list shows it. */
export type Run = Omit<RunRow, 'lateMetrics'> & {
  name: string;
  params: Record<string, string>;
  tags: Record<string, string>;
};

/** A run with the datasets it read, in the order they were logged. */
export type RunDetail = Run & { datasets: { name: string; digest: string }[] };

/** A few models whole: what is not here of a name is not there. */
export type ModelRows = Pick<RegistryRows, 'models' | 'versions' | 'runs'>;

/** What the mirror already has, so that a reader need not fetch it again. */
export type Known = {
  rows: RegistryRows;
  /** Runs to read again even though they are finished: those of monitored versions, or all of them at times. */
  reread: (runId: string) => boolean;
};

/**
 * Where a registry is read from. Every method throws TowerError `unavailable` when the source cannot answer;
 * none of them writes.
 */
export type RegistrySource = {
  /** The address as it may be shown: no credentials. */
  label: string;
  /** Names source, user and workspace; a cache made from another one is not ours. */
  fingerprint: string;
  /** The whole registry; null when nothing changed since `known` was read from this very source. */
  readRegistry(known: Known | null, signal: AbortSignal): Promise<RegistryRows | null>;
  /** A few models by name; null where this cannot be asked for. Missing in sources that are read whole as fast. */
  readModels?(names: string[], known: RegistryRows, signal: AbortSignal): Promise<ModelRows | null>;
  /**
   * Newest runs of an experiment, by start time.
   * @throws TowerError `not_found` where the source itself says there is no such experiment
   */
  readRuns(experimentId: string, limit: number, signal: AbortSignal): Promise<Run[]>;
  /** A few runs by id, whatever their state; one that is gone is missing. */
  readRunsById(ids: string[], signal: AbortSignal): Promise<RunDetail[]>;
  /** Runs, not deleted, that bear all of these tags; missing in sources that would have to open every run for it. */
  readTaggedRuns?(tags: Record<string, string>, signal: AbortSignal): Promise<Run[]>;
  /** All points of some metrics of some runs. */
  readHistory(runIds: string[], metrics: string[], signal: AbortSignal): Promise<MetricPoint[]>;
  /** All points recorded on a logged model (MLflow 3); empty where the source has no such thing. */
  readLoggedModel(modelId: string, signal: AbortSignal): Promise<MetricPoint[]>;
  /** How many runs that are not deleted an experiment has; may be slow. */
  countRuns(experimentId: string, signal: AbortSignal): Promise<number>;
  /** A light look whether the source answers. */
  ping(signal: AbortSignal): Promise<void>;
  close(): Promise<void>;
};

/** True for a run that will not go on. */
export const isFinished = (status: string): boolean => ['FINISHED', 'FAILED', 'KILLED'].includes(status);

/** SQL stores clip infinity to the largest double; neither is a number anybody measured. */
export const finiteOrNull = (value: number): number | null =>
  Number.isFinite(value) && Math.abs(value) < Number.MAX_VALUE ? value : null;

/** A copy with its keys in order, so that the same registry gives the same text whatever it was read from. */
export function sortedRecord<T>(entries: Iterable<readonly [string, T]>): Record<string, T> {
  return Object.fromEntries([...entries].sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)));
}
