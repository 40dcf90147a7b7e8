import { join } from 'node:path';
import { notFound } from '#kernel/errors.ts';
import type { LoggedModelRow } from '../snapshot/logged-models.ts';
import type { RunRow, VersionRow } from '../snapshot/snapshot.ts';
import { lastLine, metricLines, type StoreFiles, text, time } from './mlruns-files.ts';
import {
  isFinished,
  type KnownRuns,
  lastValues,
  type MetricPoint,
  type Run,
  type RunDetail,
  sortedRecord,
} from './source.ts';

/** Runs, metrics and late metric values from an `mlruns` directory. */

const runStatus: Record<string, string> = { 1: 'RUNNING', 2: 'SCHEDULED', 3: 'FINISHED', 4: 'FAILED', 5: 'KILLED' };

type Card = Record<string, unknown>;

/** Active and deleted experiments; the latter are in `.trash`. `models` is the registry, not an experiment. */
export async function experimentDirectories(files: StoreFiles): Promise<string[]> {
  const live = (await files.directories(files.root)).filter((name) => name !== 'models');
  return [...live, ...(await files.directories(join(files.root, '.trash'))).map((name) => join('.trash', name))];
}

/** Source runs of versions. A version does not name its run's experiment, so all experiment directories are searched. */
export async function readRunsOfVersions(
  files: StoreFiles,
  versions: VersionRow[],
  known: KnownRuns | null,
  signal: AbortSignal,
): Promise<RunRow[]> {
  const wanted = new Set(versions.flatMap((version) => version.runId ?? []));
  const finished = (known?.rows.runs ?? []).filter((run) => isFinished(run.status) && !known?.reread(run.runId));
  const kept = new Map(finished.map((run) => [run.runId, run]));
  const runs: RunRow[] = [];
  for (const [runId, directory] of await runDirectories(files, wanted)) {
    signal.throwIfAborted();
    const run = kept.get(runId) ?? (await readRun(files, directory));
    if (run) runs.push(run);
  }
  return runs;
}

async function runDirectories(files: StoreFiles, wanted: Set<string>): Promise<Map<string, string>> {
  const found = new Map<string, string>();
  if (wanted.size === 0) return found;
  for (const experiment of await experimentDirectories(files)) {
    for (const name of await files.directories(join(files.root, experiment))) {
      if (wanted.has(name)) found.set(name, join(files.root, experiment, name));
    }
  }
  return found;
}

async function readRun(files: StoreFiles, directory: string): Promise<RunRow | null> {
  const card = await files.metaYaml(directory, 'status');
  if (!card) return null;
  const endedAt = time(card['end_time']);
  const last = (await files.values(join(directory, 'metrics'))).map(
    ([key, content]) => [key, lastLine(metricLines(content))] as const,
  );
  return {
    runId: text(card['run_id'] ?? card['run_uuid']),
    experimentId: text(card['experiment_id']),
    status: runStatus[text(card['status'])] ?? text(card['status']),
    deleted: card['lifecycle_stage'] === 'deleted',
    startedAt: time(card['start_time']),
    endedAt,
    metrics: sortedRecord(last.map(([key, line]) => [key, line?.value ?? null] as const)),
    lateMetrics: last.filter(([, line]) => line && endedAt !== null && line.at > endedAt).map(([key]) => key),
  };
}

export async function readRuns(
  files: StoreFiles,
  experimentId: string,
  limit: number,
  signal: AbortSignal,
): Promise<Run[]> {
  const cards: { card: Card; directory: string }[] = [];
  for await (const card of runCards(files, experimentId, signal))
    if (isActive(card)) cards.push({ card, directory: text(card['directory']) });
  cards.sort((a, b) => (time(b.card['start_time']) ?? 0) - (time(a.card['start_time']) ?? 0));
  const runs: Run[] = [];
  for (const { directory } of cards.slice(0, limit)) {
    signal.throwIfAborted();
    const run = await wholeRun(files, directory);
    if (run) runs.push(run);
  }
  return runs;
}

async function wholeRun(files: StoreFiles, directory: string): Promise<Run | null> {
  const [card, run] = [await files.metaYaml(directory, 'status'), await readRun(files, directory)];
  if (!card || !run) return null;
  const { lateMetrics: _, ...row } = run;
  const [params, tags] = await Promise.all([
    files.values(join(directory, 'params')),
    files.values(join(directory, 'tags')),
  ]);
  return {
    ...row,
    name: text(card['run_name'] ?? card['name']),
    params: Object.fromEntries(params),
    tags: Object.fromEntries(tags),
  };
}

/** Metadata of an experiment's runs, each with its `directory`. */
async function* runCards(files: StoreFiles, experimentId: string, signal: AbortSignal): AsyncGenerator<Card> {
  const directory = (await experimentDirectories(files)).find(
    (name) => name === experimentId || name === join('.trash', experimentId),
  );
  if (!directory) throw notFound(`Experiment ${experimentId} not found in MLflow`);
  for (const name of await files.directories(join(files.root, directory))) {
    signal.throwIfAborted();
    const card = await files.metaYaml(join(files.root, directory, name), 'lifecycle_stage');
    // `models`, `datasets`, `traces` and `tags` are siblings of the runs; only a run's metadata has a status.
    if (card && 'status' in card) yield { ...card, directory: join(files.root, directory, name) };
  }
}

export async function readHistory(
  files: StoreFiles,
  runIds: string[],
  metrics: string[],
  signal: AbortSignal,
): Promise<MetricPoint[]> {
  const points: MetricPoint[] = [];
  for (const [runId, directory] of await runDirectories(files, new Set(runIds))) {
    signal.throwIfAborted();
    for (const [metric, content] of await files.values(join(directory, 'metrics'))) {
      if (!metrics.includes(metric)) continue;
      for (const { at, value, step } of metricLines(content))
        points.push({ metric, value, at, step, runId, dataset: null });
    }
  }
  return points;
}

export async function readLoggedModel(files: StoreFiles, modelId: string): Promise<MetricPoint[]> {
  for (const [, directory] of await loggedModelDirectories(files, new Set([modelId])))
    return pointsOfLoggedModel(files, directory);
  return [];
}

/** Logged models by id; those that do not exist are missing from the result. */
export async function readLoggedModels(
  files: StoreFiles,
  ids: string[],
  signal: AbortSignal,
): Promise<LoggedModelRow[]> {
  const rows: LoggedModelRow[] = [];
  for (const [modelId, directory] of await loggedModelDirectories(files, new Set(ids))) {
    signal.throwIfAborted();
    rows.push({ modelId, metrics: lastValues(await pointsOfLoggedModel(files, directory)) });
  }
  return rows;
}

async function loggedModelDirectories(files: StoreFiles, wanted: ReadonlySet<string>): Promise<Map<string, string>> {
  const found = new Map<string, string>();
  if (wanted.size === 0) return found;
  for (const experiment of await experimentDirectories(files)) {
    const directory = join(files.root, experiment, 'models');
    for (const name of await files.directories(directory)) if (wanted.has(name)) found.set(name, join(directory, name));
  }
  return found;
}

async function pointsOfLoggedModel(files: StoreFiles, directory: string): Promise<MetricPoint[]> {
  const metrics = await files.values(join(directory, 'metrics'));
  return metrics.flatMap(([metric, content]) =>
    metricLines(content).map(({ at, value, step, rest: [runId, dataset] }) => ({
      metric,
      value,
      at,
      step,
      runId: runId ?? '',
      dataset: dataset ?? null,
    })),
  );
}

/** Deleted runs are missing from the result. */
export async function readRunsById(files: StoreFiles, ids: string[], signal: AbortSignal): Promise<RunDetail[]> {
  const runs: RunDetail[] = [];
  for (const directory of (await runDirectories(files, new Set(ids))).values()) {
    signal.throwIfAborted();
    const run = await wholeRun(files, directory);
    if (run) runs.push({ ...run, datasets: await datasetsOf(files, directory) });
  }
  return runs;
}

/** A run's inputs reference datasets, whose metadata is beside the runs of their experiment. */
async function datasetsOf(files: StoreFiles, directory: string): Promise<RunDetail['datasets']> {
  const found: RunDetail['datasets'] = [];
  for (const name of await files.directories(join(directory, 'inputs'))) {
    const input = await files.metaYaml(join(directory, 'inputs', name), 'source_id');
    const card = input && (await files.metaYaml(join(directory, '..', 'datasets', text(input['source_id'])), 'digest'));
    if (card) found.push({ name: text(card['name']), digest: text(card['digest']) });
  }
  return found;
}

export async function countRuns(files: StoreFiles, experimentId: string, signal: AbortSignal): Promise<number> {
  let count = 0;
  for await (const card of runCards(files, experimentId, signal)) if (isActive(card)) count += 1;
  return count;
}

const isActive = (card: Card): boolean => card['lifecycle_stage'] !== 'deleted';
