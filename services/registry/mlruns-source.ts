import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '../../src/kernel/clock.ts';
import { notFound, TowerError } from '../../src/kernel/errors.ts';
import { foldersIn, lastLine, metricLines, readCard, readValues } from './mlruns-files.ts';
import type { ExperimentRow, ModelRow, RegistryRows, RunRow, VersionRow } from './snapshot.ts';
import { isFinished, type Known, type MetricPoint, type RegistrySource, type Run, sortedRecord } from './source.ts';

const runStatus: Record<string, string> = { 1: 'RUNNING', 2: 'SCHEDULED', 3: 'FINISHED', 4: 'FAILED', 5: 'KILLED' };

type Card = Record<string, unknown>;

/** Reads an `mlruns` folder (MLflow's file store) with no MLflow at all. Read-only. */
export function createMlrunsSource(root: string, label: string, fingerprint: string, clock: Clock): RegistrySource {
  return {
    label,
    fingerprint,
    readRegistry: (known, signal) => readRegistry(root, clock, known, signal),
    readRuns: (experimentId, limit, signal) => readRuns(root, clock, experimentId, limit, signal),
    readHistory: (runIds, metrics, signal) => readHistory(root, runIds, metrics, signal),
    readLoggedModel: (modelId) => readLoggedModel(root, modelId),
    countRuns: async (experimentId, signal) => {
      let count = 0;
      for await (const card of runCards(root, clock, experimentId, signal)) if (isActive(card)) count += 1;
      return count;
    },
    ping: () => checkRoot(root),
    close: async () => undefined,
  };
}

async function readRegistry(
  root: string,
  clock: Clock,
  known: Known | null,
  signal: AbortSignal,
): Promise<RegistryRows> {
  await checkRoot(root);
  const experiments: ExperimentRow[] = [];
  for (const folder of await experimentFolders(root)) {
    signal.throwIfAborted();
    const row = await readExperiment(join(root, folder), clock);
    if (row) experiments.push(row);
  }
  const models: ModelRow[] = [];
  const versions: VersionRow[] = [];
  for (const folder of await foldersIn(join(root, 'models'))) {
    signal.throwIfAborted();
    const model = await readModel(join(root, 'models', folder), clock);
    if (!model) continue;
    models.push(model.row);
    versions.push(...model.versions);
  }
  return {
    experiments,
    models,
    versions,
    runs: await readRunsOfVersions(root, clock, versions, known, signal),
    serverVersion: null,
  };
}

/** @throws TowerError `unavailable` for what is no folder, or none that MLflow ever wrote to */
async function checkRoot(root: string): Promise<void> {
  const facts = await stat(root).catch(() => null);
  if (!facts?.isDirectory())
    throw new TowerError('unavailable', `the folder ${root} does not exist or is not a folder`);
  const names = await readdir(root);
  const cards = names.map((name) => stat(join(root, name, 'meta.yaml')).catch(() => null));
  const isStore =
    names.includes('models') || names.includes('.trash') || (await Promise.all(cards)).some((card) => card !== null);
  if (!isStore)
    throw new TowerError(
      'unavailable',
      `the folder ${root} holds no MLflow experiments or models; is it an mlruns folder?`,
    );
}

/** Experiments that are not deleted and deleted ones, which live in `.trash`. `models` is the registry, not an experiment. */
async function experimentFolders(root: string): Promise<string[]> {
  const live = (await foldersIn(root)).filter((name) => name !== 'models');
  return [...live, ...(await foldersIn(join(root, '.trash'))).map((name) => join('.trash', name))];
}

async function readExperiment(folder: string, clock: Clock): Promise<ExperimentRow | null> {
  const card = await readCard(folder, clock, 'experiment_id');
  if (!card) return null;
  return {
    experimentId: text(card['experiment_id']),
    name: text(card['name']),
    artifactLocation: text(card['artifact_location']),
    lifecycleStage: text(card['lifecycle_stage']) || 'active',
    createdAt: time(card['creation_time']),
    updatedAt: time(card['last_update_time']),
    tags: Object.fromEntries(await readValues(join(folder, 'tags'))),
  };
}

async function readModel(folder: string, clock: Clock): Promise<{ row: ModelRow; versions: VersionRow[] } | null> {
  const card = await readCard(folder, clock, 'name');
  if (!card) return null;
  const aliases = await readValues(join(folder, 'aliases'));
  const row = {
    name: text(card['name']),
    createdAt: time(card['creation_timestamp']),
    updatedAt: time(card['last_updated_timestamp']),
    description: text(card['description']),
    tags: Object.fromEntries(await readValues(join(folder, 'tags'))),
    aliases: sortedRecord(aliases.map(([alias, version]) => [alias, version.trim()] as const)),
  };
  const versions: VersionRow[] = [];
  for (const name of await foldersIn(folder)) {
    const version = name.startsWith('version-') ? await readVersion(join(folder, name), clock) : null;
    if (version) versions.push(version);
  }
  return { row, versions };
}

async function readVersion(folder: string, clock: Clock): Promise<VersionRow | null> {
  const card = await readCard(folder, clock, 'version');
  if (!card) return null;
  return {
    name: text(card['name']),
    version: text(card['version']),
    createdAt: time(card['creation_timestamp']),
    updatedAt: time(card['last_updated_timestamp']),
    currentStage: text(card['current_stage']) || 'None',
    description: text(card['description']),
    source: text(card['source']),
    status: text(card['status']) || 'READY',
    runId: text(card['run_id']) || null,
    tags: Object.fromEntries(await readValues(join(folder, 'tags'))),
  };
}

/** Runs behind the versions; a version does not say which experiment its run is in, so all folder names are looked at. */
async function readRunsOfVersions(
  root: string,
  clock: Clock,
  versions: VersionRow[],
  known: Known | null,
  signal: AbortSignal,
): Promise<RunRow[]> {
  const wanted = new Set(versions.flatMap((version) => version.runId ?? []));
  const finished = (known?.rows.runs ?? []).filter((run) => isFinished(run.status) && !known?.reread(run.runId));
  const kept = new Map(finished.map((run) => [run.runId, run]));
  const runs: RunRow[] = [];
  for (const [runId, folder] of await runFolders(root, wanted)) {
    signal.throwIfAborted();
    const run = kept.get(runId) ?? (await readRun(folder, clock));
    if (run) runs.push(run);
  }
  return runs;
}

async function runFolders(root: string, wanted: Set<string>): Promise<Map<string, string>> {
  const found = new Map<string, string>();
  if (wanted.size === 0) return found;
  for (const experiment of await experimentFolders(root)) {
    for (const name of await foldersIn(join(root, experiment))) {
      if (wanted.has(name)) found.set(name, join(root, experiment, name));
    }
  }
  return found;
}

async function readRun(folder: string, clock: Clock): Promise<RunRow | null> {
  const card = await readCard(folder, clock, 'status');
  if (!card) return null;
  const endedAt = time(card['end_time']);
  const last = (await readValues(join(folder, 'metrics'))).map(
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

async function readRuns(
  root: string,
  clock: Clock,
  experimentId: string,
  limit: number,
  signal: AbortSignal,
): Promise<Run[]> {
  const cards: { card: Card; folder: string }[] = [];
  for await (const card of runCards(root, clock, experimentId, signal))
    if (isActive(card)) cards.push({ card, folder: text(card['folder']) });
  cards.sort((a, b) => (time(b.card['start_time']) ?? 0) - (time(a.card['start_time']) ?? 0));
  const runs: Run[] = [];
  for (const { card, folder } of cards.slice(0, limit)) {
    signal.throwIfAborted();
    const run = await readRun(folder, clock);
    if (!run) continue;
    const { lateMetrics: _, ...row } = run;
    const [params, tags] = await Promise.all([readValues(join(folder, 'params')), readValues(join(folder, 'tags'))]);
    runs.push({
      ...row,
      name: text(card['run_name'] ?? card['name']),
      params: Object.fromEntries(params),
      tags: Object.fromEntries(tags),
    });
  }
  return runs;
}

/** The cards of an experiment's runs, each with the `folder` it lies in. */
async function* runCards(root: string, clock: Clock, experimentId: string, signal: AbortSignal): AsyncGenerator<Card> {
  const folder = (await experimentFolders(root)).find(
    (name) => name === experimentId || name === join('.trash', experimentId),
  );
  if (!folder) throw notFound(`Experiment ${experimentId} not found in MLflow`);
  for (const name of await foldersIn(join(root, folder))) {
    signal.throwIfAborted();
    const card = await readCard(join(root, folder, name), clock, 'artifact_uri');
    // `models`, `datasets`, `traces` and `tags` lie beside the runs; only a run card has a status.
    if (card && 'status' in card) yield { ...card, folder: join(root, folder, name) };
  }
}

async function readHistory(
  root: string,
  runIds: string[],
  metrics: string[],
  signal: AbortSignal,
): Promise<MetricPoint[]> {
  const points: MetricPoint[] = [];
  for (const [runId, folder] of await runFolders(root, new Set(runIds))) {
    signal.throwIfAborted();
    for (const [metric, content] of await readValues(join(folder, 'metrics'))) {
      if (!metrics.includes(metric)) continue;
      for (const { at, value, step } of metricLines(content))
        points.push({ metric, value, at, step, runId, dataset: null });
    }
  }
  return points;
}

async function readLoggedModel(root: string, modelId: string): Promise<MetricPoint[]> {
  for (const experiment of await experimentFolders(root)) {
    if (!(await foldersIn(join(root, experiment, 'models'))).includes(modelId)) continue;
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

const isActive = (card: Card): boolean => card['lifecycle_stage'] !== 'deleted';
const text = (value: unknown): string => (value === null || value === undefined ? '' : String(value));
const time = (value: unknown): number | null => (Number(value ?? 0) > 0 ? Number(value) : null);
