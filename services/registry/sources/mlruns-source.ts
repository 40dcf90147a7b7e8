import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '#kernel/clock.ts';
import { TowerError } from '#kernel/errors.ts';
import type { ExperimentRow, ModelRow, RegistryRows, VersionRow } from '../snapshot/snapshot.ts';
import { directorysIn, readMetaYaml, readValues, text, time } from './mlruns-files.ts';
import {
  countRuns,
  experimentDirectories,
  readHistory,
  readLoggedModel,
  readRuns,
  readRunsById,
  readRunsOfVersions,
} from './mlruns-runs.ts';
import { type CachedState, type RegistrySource, sortedRecord } from './source.ts';

/** Reads an `mlruns` directory (MLflow's file store) without MLflow. Read-only. */
export function createMlrunsSource(root: string, label: string, fingerprint: string, clock: Clock): RegistrySource {
  return {
    label,
    fingerprint,
    readRegistry: (known, signal) => readRegistry(root, clock, known, signal),
    readRuns: (experimentId, limit, signal) => readRuns(root, clock, experimentId, limit, signal),
    readRunsById: (ids, signal) => readRunsById(root, clock, ids, signal),
    readHistory: (runIds, metrics, signal) => readHistory(root, runIds, metrics, signal),
    readLoggedModel: (modelId) => readLoggedModel(root, modelId),
    countRuns: (experimentId, signal) => countRuns(root, clock, experimentId, signal),
    ping: () => checkRoot(root),
    close: async () => undefined,
  };
}

async function readRegistry(
  root: string,
  clock: Clock,
  known: CachedState | null,
  signal: AbortSignal,
): Promise<RegistryRows> {
  await checkRoot(root);
  const experiments: ExperimentRow[] = [];
  for (const directory of await experimentDirectories(root)) {
    signal.throwIfAborted();
    const row = await readExperiment(join(root, directory), clock);
    if (row) experiments.push(row);
  }
  const models: ModelRow[] = [];
  const versions: VersionRow[] = [];
  for (const directory of await directorysIn(join(root, 'models'))) {
    signal.throwIfAborted();
    const model = await readModel(join(root, 'models', directory), clock);
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

/** @throws TowerError `unavailable` if the path is no directory, or not one written by MLflow */
async function checkRoot(root: string): Promise<void> {
  const facts = await stat(root).catch(() => null);
  if (!facts?.isDirectory())
    throw new TowerError('unavailable', `the directory ${root} does not exist or is not a directory`);
  const names = await readdir(root);
  const cards = names.map((name) => stat(join(root, name, 'meta.yaml')).catch(() => null));
  const isStore =
    names.includes('models') || names.includes('.trash') || (await Promise.all(cards)).some((card) => card !== null);
  if (!isStore)
    throw new TowerError(
      'unavailable',
      `the directory ${root} has no MLflow experiments or models; is it an mlruns directory?`,
    );
}

async function readExperiment(directory: string, clock: Clock): Promise<ExperimentRow | null> {
  const card = await readMetaYaml(directory, clock, 'experiment_id');
  if (!card) return null;
  return {
    experimentId: text(card['experiment_id']),
    name: text(card['name']),
    artifactLocation: text(card['artifact_location']),
    lifecycleStage: text(card['lifecycle_stage']) || 'active',
    createdAt: time(card['creation_time']),
    updatedAt: time(card['last_update_time']),
    tags: Object.fromEntries(await readValues(join(directory, 'tags'))),
  };
}

async function readModel(directory: string, clock: Clock): Promise<{ row: ModelRow; versions: VersionRow[] } | null> {
  const card = await readMetaYaml(directory, clock, 'name');
  if (!card) return null;
  const aliases = await readValues(join(directory, 'aliases'));
  const row = {
    name: text(card['name']),
    createdAt: time(card['creation_timestamp']),
    updatedAt: time(card['last_updated_timestamp']),
    description: text(card['description']),
    tags: Object.fromEntries(await readValues(join(directory, 'tags'))),
    aliases: sortedRecord(aliases.map(([alias, version]) => [alias, version.trim()] as const)),
  };
  const versions: VersionRow[] = [];
  for (const name of await directorysIn(directory)) {
    const version = name.startsWith('version-') ? await readVersion(join(directory, name), clock) : null;
    if (version) versions.push(version);
  }
  return { row, versions };
}

async function readVersion(directory: string, clock: Clock): Promise<VersionRow | null> {
  const card = await readMetaYaml(directory, clock, 'version');
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
    tags: Object.fromEntries(await readValues(join(directory, 'tags'))),
  };
}
