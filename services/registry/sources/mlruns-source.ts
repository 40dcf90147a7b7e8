import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '#kernel/clock.ts';
import { TowerError, unavailable } from '#kernel/errors.ts';
import type { ExperimentRow, ModelRow, RegistryRows, VersionRow } from '../snapshot/snapshot.ts';
import { createStoreFiles, type StoreFiles, text, time } from './mlruns-files.ts';
import {
  countRuns,
  experimentDirectories,
  readHistory,
  readLoggedModel,
  readLoggedModels,
  readRuns,
  readRunsById,
  readRunsOfVersions,
} from './mlruns-runs.ts';
import { type CachedState, type RegistrySource, sortedRecord, unchangedLoggedModels } from './source.ts';

/**
 * Reads an `mlruns` directory (MLflow's file store) without MLflow. Read-only.
 * @param linkRoots - directories outside, which symbolic links of the store may lead to
 */
export function createMlrunsSource(
  root: string,
  { label, fingerprint, linkRoots, clock }: { label: string; fingerprint: string; linkRoots: string[]; clock: Clock },
): RegistrySource {
  const files = createStoreFiles(root, linkRoots, clock);
  return {
    label,
    fingerprint,
    readRegistry: (known, signal) => readRegistry(files, known, signal),
    readRuns: (experimentId, limit, signal) => readRuns(files, experimentId, limit, signal),
    readRunsById: (ids, signal) => readRunsById(files, ids, signal),
    readHistory: (runIds, metrics, signal) => readHistory(files, runIds, metrics, signal),
    readLoggedModel: (modelId) => readLoggedModel(files, modelId),
    countRuns: (experimentId, signal) => countRuns(files, experimentId, signal),
    ping: () => checkRoot(root),
    close: async () => undefined,
  };
}

async function readRegistry(files: StoreFiles, known: CachedState | null, signal: AbortSignal): Promise<RegistryRows> {
  const { root } = files;
  await checkRoot(root);
  const experiments: ExperimentRow[] = [];
  for (const directory of await experimentDirectories(files)) {
    signal.throwIfAborted();
    const row = await readExperiment(files, join(root, directory));
    if (row) experiments.push(row);
  }
  const models: ModelRow[] = [];
  const versions: VersionRow[] = [];
  for (const directory of await files.directories(join(root, 'models'))) {
    signal.throwIfAborted();
    const model = await readModel(files, join(root, 'models', directory));
    if (!model) continue;
    models.push(model.row);
    versions.push(...model.versions);
  }
  const reread = (await known?.reread({ models, versions })) ?? (() => true);
  const runs = await readRunsOfVersions(files, versions, known && { rows: known.rows, reread }, signal);
  const { kept, wanted } = await unchangedLoggedModels({ versions, runs }, known?.rows ?? null, reread);
  return {
    experiments,
    models,
    versions,
    runs,
    loggedModels: [...kept, ...(await readLoggedModels(files, wanted, signal))],
    serverVersion: null,
  };
}

/** @throws TowerError `unavailable` if the path is no directory, or not one written by MLflow */
async function checkRoot(root: string): Promise<void> {
  const names = await readdir(root).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT' || error.code === 'ENOTDIR')
      throw unavailable(`the directory ${root} does not exist or is not a directory`, error);
    throw unavailable(`the directory ${root} cannot be read (${error.code})`, error);
  });
  const hasMetadata = (name: string) =>
    stat(join(root, name, 'meta.yaml')).then(
      () => true,
      (error: NodeJS.ErrnoException) => {
        if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return false;
        throw unavailable(`${name} in the store ${root} cannot be read (${error.code})`, error);
      },
    );
  const isStore =
    names.includes('models') ||
    names.includes('.trash') ||
    (await Promise.all(names.map(hasMetadata))).some((isExperiment) => isExperiment);
  if (!isStore)
    throw new TowerError(
      'unavailable',
      `the directory ${root} has no MLflow experiments or models; is it an mlruns directory?`,
    );
}

async function readExperiment(files: StoreFiles, directory: string): Promise<ExperimentRow | null> {
  const card = await files.metaYaml(directory, 'experiment_id');
  if (!card) return null;
  return {
    experimentId: text(card['experiment_id']),
    name: text(card['name']),
    artifactLocation: text(card['artifact_location']),
    lifecycleStage: text(card['lifecycle_stage']) || 'active',
    createdAt: time(card['creation_time']),
    updatedAt: time(card['last_update_time']),
    tags: Object.fromEntries(await files.values(join(directory, 'tags'))),
  };
}

async function readModel(
  files: StoreFiles,
  directory: string,
): Promise<{ row: ModelRow; versions: VersionRow[] } | null> {
  const card = await files.metaYaml(directory, 'name');
  if (!card) return null;
  const aliases = await files.values(join(directory, 'aliases'));
  const row = {
    name: text(card['name']),
    createdAt: time(card['creation_timestamp']),
    updatedAt: time(card['last_updated_timestamp']),
    description: text(card['description']),
    tags: Object.fromEntries(await files.values(join(directory, 'tags'))),
    aliases: sortedRecord(aliases.map(([alias, version]) => [alias, version.trim()] as const)),
  };
  const versions: VersionRow[] = [];
  for (const name of await files.directories(directory)) {
    const version = name.startsWith('version-') ? await readVersion(files, join(directory, name)) : null;
    if (version) versions.push(version);
  }
  return { row, versions };
}

async function readVersion(files: StoreFiles, directory: string): Promise<VersionRow | null> {
  const card = await files.metaYaml(directory, 'version');
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
    tags: Object.fromEntries(await files.values(join(directory, 'tags'))),
  };
}
