import { join } from 'node:path';
import type { Clock } from '#kernel/clock.ts';
import { notFound } from '#kernel/errors.ts';
import type { RunRow, VersionRow } from '../snapshot/snapshot.ts';
import { directorysIn, lastLine, metricLines, readMetaYaml, readValues, text, time } from './mlruns-files.ts';
import { type CachedState, isFinished, type MetricPoint, type Run, type RunDetail, sortedRecord } from './source.ts';

/** Runs, metrics and late metric values from an `mlruns` directory. */

const runStatus: Record<string, string> = { 1: 'RUNNING', 2: 'SCHEDULED', 3: 'FINISHED', 4: 'FAILED', 5: 'KILLED' };

type Card = Record<string, unknown>;

/** Active and deleted experiments; the latter are in `.trash`. `models` is the registry, not an experiment. */
export async function experimentDirectories(root: string): Promise<string[]> {
  const live = (await directorysIn(root)).filter((name) => name !== 'models');
  return [...live, ...(await directorysIn(join(root, '.trash'))).map((name) => join('.trash', name))];
}

/** Source runs of versions. A version does not name its run's experiment, so all experiment directories are searched. */
export async function readRunsOfVersions(
  root: string,
  clock: Clock,
  versions: VersionRow[],
  known: CachedState | null,
  signal: AbortSignal,
): Promise<RunRow[]> {
  const wanted = new Set(versions.flatMap((version) => version.runId ?? []));
  const finished = (known?.rows.runs ?? []).filter((run) => isFinished(run.status) && !known?.reread(run.runId));
  const kept = new Map(finished.map((run) => [run.runId, run]));
  const runs: RunRow[] = [];
  for (const [runId, directory] of await runDirectories(root, wanted)) {
    signal.throwIfAborted();
    const run = kept.get(runId) ?? (await readRun(directory, clock));
    if (run) runs.push(run);
  }
  return runs;
}

async function runDirectories(root: string, wanted: Set<string>): Promise<Map<string, string>> {
  const found = new Map<string, string>();
  if (wanted.size === 0) return found;
  for (const experiment of await experimentDirectories(root)) {
    for (const name of await directorysIn(join(root, experiment))) {
      if (wanted.has(name)) found.set(name, join(root, experiment, name));
    }
  }
  return found;
}

async function readRun(directory: string, clock: Clock): Promise<RunRow | null> {
  const card = await readMetaYaml(directory, clock, 'status');
  if (!card) return null;
  const endedAt = time(card['end_time']);
  const last = (await readValues(join(directory, 'metrics'))).map(
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
  root: string,
  clock: Clock,
  experimentId: string,
  limit: number,
  signal: AbortSignal,
): Promise<Run[]> {
  const cards: { card: Card; directory: string }[] = [];
  for await (const card of runCards(root, clock, experimentId, signal))
    if (isActive(card)) cards.push({ card, directory: text(card['directory']) });
  cards.sort((a, b) => (time(b.card['start_time']) ?? 0) - (time(a.card['start_time']) ?? 0));
  const runs: Run[] = [];
  for (const { directory } of cards.slice(0, limit)) {
    signal.throwIfAborted();
    const run = await wholeRun(directory, clock);
    if (run) runs.push(run);
  }
  return runs;
}

async function wholeRun(directory: string, clock: Clock): Promise<Run | null> {
  const [card, run] = [await readMetaYaml(directory, clock, 'status'), await readRun(directory, clock)];
  if (!card || !run) return null;
  const { lateMetrics: _, ...row } = run;
  const [params, tags] = await Promise.all([
    readValues(join(directory, 'params')),
    readValues(join(directory, 'tags')),
  ]);
  return {
    ...row,
    name: text(card['run_name'] ?? card['name']),
    params: Object.fromEntries(params),
    tags: Object.fromEntries(tags),
  };
}

/** Metadata of an experiment's runs, each with its `directory`. */
async function* runCards(root: string, clock: Clock, experimentId: string, signal: AbortSignal): AsyncGenerator<Card> {
  const directory = (await experimentDirectories(root)).find(
    (name) => name === experimentId || name === join('.trash', experimentId),
  );
  if (!directory) throw notFound(`Experiment ${experimentId} not found in MLflow`);
  for (const name of await directorysIn(join(root, directory))) {
    signal.throwIfAborted();
    const card = await readMetaYaml(join(root, directory, name), clock, 'artifact_uri');
    // `models`, `datasets`, `traces` and `tags` are siblings of the runs; only a run's metadata has a status.
    if (card && 'status' in card) yield { ...card, directory: join(root, directory, name) };
  }
}

export async function readHistory(
  root: string,
  runIds: string[],
  metrics: string[],
  signal: AbortSignal,
): Promise<MetricPoint[]> {
  const points: MetricPoint[] = [];
  for (const [runId, directory] of await runDirectories(root, new Set(runIds))) {
    signal.throwIfAborted();
    for (const [metric, content] of await readValues(join(directory, 'metrics'))) {
      if (!metrics.includes(metric)) continue;
      for (const { at, value, step } of metricLines(content))
        points.push({ metric, value, at, step, runId, dataset: null });
    }
  }
  return points;
}

export async function readLoggedModel(root: string, modelId: string): Promise<MetricPoint[]> {
  for (const experiment of await experimentDirectories(root)) {
    if (!(await directorysIn(join(root, experiment, 'models'))).includes(modelId)) continue;
    const files = await readValues(join(root, experiment, 'models', modelId, 'metrics'));
    return files.flatMap(([metric, content]) =>
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
  return [];
}

/** Deleted runs are missing from the result. */
export async function readRunsById(
  root: string,
  clock: Clock,
  ids: string[],
  signal: AbortSignal,
): Promise<RunDetail[]> {
  const runs: RunDetail[] = [];
  for (const directory of (await runDirectories(root, new Set(ids))).values()) {
    signal.throwIfAborted();
    const run = await wholeRun(directory, clock);
    if (run) runs.push({ ...run, datasets: await datasetsOf(directory, clock) });
  }
  return runs;
}

/** A run's inputs reference datasets, whose metadata is beside the runs of their experiment. */
async function datasetsOf(directory: string, clock: Clock): Promise<RunDetail['datasets']> {
  const found: RunDetail['datasets'] = [];
  for (const name of await directorysIn(join(directory, 'inputs'))) {
    const input = await readMetaYaml(join(directory, 'inputs', name), clock, 'source_id');
    const card =
      input && (await readMetaYaml(join(directory, '..', 'datasets', text(input['source_id'])), clock, 'digest'));
    if (card) found.push({ name: text(card['name']), digest: text(card['digest']) });
  }
  return found;
}

export async function countRuns(
  root: string,
  clock: Clock,
  experimentId: string,
  signal: AbortSignal,
): Promise<number> {
  let count = 0;
  for await (const card of runCards(root, clock, experimentId, signal)) if (isActive(card)) count += 1;
  return count;
}

const isActive = (card: Card): boolean => card['lifecycle_stage'] !== 'deleted';
