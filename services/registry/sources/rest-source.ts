import type { HttpClient } from '#kernel/http-client.ts';
import { forEachYielding } from '#kernel/yield-event-loop.ts';
import type { LoggedModelRow } from '../snapshot/logged-models.ts';
import type { ModelRow, RegistryRows, VersionRow } from '../snapshot/snapshot.ts';
import { versionKey } from '../snapshot/snapshot.ts';
import { experimentRow, modelRow, versionRow } from './mlflow-json.ts';
import { api, expectJson, experimentsPerPage, pages, readAll, unique } from './rest-pages.ts';
import {
  countRuns,
  readHistory,
  readLoggedModel,
  readLoggedModels,
  readNewRuns,
  readRuns,
  readRunsById,
  readRunsOfVersions,
  readTaggedRuns,
} from './rest-runs.ts';
import { type CachedState, type ModelRows, type RegistrySource, unchangedLoggedModels } from './source.ts';

const modelsPerPage = 1000;
// The first read uses large pages, which are close to one consistent state of a live list. Later reads are checked
// against the first and use small pages: parsing a large one would block concurrent requests.
const versionsPerFirstPage = 10_000;
const versionsPerPage = 1_000;

/** Reads a registry from an MLflow server, 2.x or 3.x, with bulk reads only. */
export function createRestSource(client: HttpClient, label: string, fingerprint: string): RegistrySource {
  return {
    label,
    fingerprint,
    readRegistry: (known, signal) => readRegistry(client, known, signal),
    readModels: (names, known, signal) => readModelsByName(client, names, known, signal),
    readRuns: (experimentId, limit, signal) => readRuns(client, experimentId, limit, signal),
    readRunsById: (ids, signal) => readRunsById(client, ids, signal),
    readTaggedRuns: (tags, signal) => readTaggedRuns(client, tags, signal),
    readHistory: (runIds, metrics, signal) => readHistory(client, runIds, metrics, signal),
    readLoggedModel: (modelId, signal) => readLoggedModel(client, modelId, signal),
    countRuns: (experimentId, signal) => countRuns(client, experimentId, signal),
    ping: async (signal) => {
      expectJson(await client.get(`${api}/experiments/search`, { max_results: 1 }, signal));
    },
    close: () => client.close(),
  };
}

async function readRegistry(client: HttpClient, known: CachedState | null, signal: AbortSignal): Promise<RegistryRows> {
  const [serverVersion, experiments, models, versions] = await Promise.all([
    readServerVersion(client, signal),
    readAll(
      client,
      `${api}/experiments/search`,
      { max_results: experimentsPerPage, view_type: 'ALL' },
      'experiments',
      signal,
    ),
    readModels(client, known, signal),
    readVersions(client, known, signal),
  ]);
  const rows = {
    experiments: unique(experiments.map(experimentRow), (item) => item.experimentId),
    models,
    versions,
    serverVersion,
  };
  const reread = (await known?.reread({ models, versions })) ?? (() => true);
  const runs = await readRunsOfVersions(client, rows, known && { rows: known.rows, reread }, signal);
  const loggedModels = await readLoggedModelsOf(client, { ...rows, runs }, known?.rows ?? null, reread, signal);
  return { ...rows, runs, loggedModels };
}

/** All models; a second sweep if an edit between two pages may have hidden a known one, as for versions. */
async function readModels(client: HttpClient, known: CachedState | null, signal: AbortSignal): Promise<ModelRow[]> {
  const found = new Map<string, ModelRow>();
  const sweep = async (): Promise<number> => {
    const query = { max_results: modelsPerPage, order_by: ['name ASC'] };
    let pageCount = 0;
    for await (const page of pages(
      client,
      { get: `${api}/registered-models/search`, query },
      'registered_models',
      signal,
    )) {
      pageCount += 1;
      for (const row of page.map(modelRow)) found.set(row.name, row);
    }
    return pageCount;
  };
  const pageCount = await sweep();
  if (pageCount > 1 && known?.rows.models.some((row) => !found.has(row.name))) await sweep();
  return [...found.values()];
}

/**
 * All versions. Paging is by offset over a live order, so an edit between two pages can hide a version: if the sweep
 * took more than one page and a known version is missing, a second sweep must confirm.
 */
async function readVersions(client: HttpClient, known: CachedState | null, signal: AbortSignal): Promise<VersionRow[]> {
  const found = new Map<string, VersionRow>();
  const sweep = async (): Promise<number> => {
    const query = {
      max_results: known ? versionsPerPage : versionsPerFirstPage,
      order_by: ['name ASC', 'version_number ASC'],
    };
    let pageCount = 0;
    for await (const page of pages(client, { get: `${api}/model-versions/search`, query }, 'model_versions', signal)) {
      pageCount += 1;
      await forEachYielding(page, (json) => {
        const row = versionRow(json);
        found.set(versionKey(row.name, row.version), row);
      });
    }
    return pageCount;
  };
  if ((await sweep()) > 1 && known) {
    let missing = false;
    await forEachYielding(known.rows.versions, (row) => {
      missing ||= !found.has(versionKey(row.name, row.version));
    });
    if (missing) await sweep();
  }
  return [...found.values()];
}

/** Source runs of this many newest versions are read again even if finished: these are likely to be evaluated soon. */
const newestReread = 200;

function newestRuns(versions: VersionRow[]): (runId: string) => boolean {
  const newest = [...versions].sort((a, b) => Number(b.version) - Number(a.version)).slice(0, newestReread);
  const runs = new Set(newest.map((version) => version.runId));
  return (runId) => runs.has(runId);
}

/** A few models by name, through the searches: `get` refuses names with `:` or `/`, which the searches accept. */
async function readModelsByName(
  client: HttpClient,
  names: string[],
  known: RegistryRows,
  signal: AbortSignal,
): Promise<ModelRows | null> {
  // A filter cannot express a name with both kinds of quotes.
  if (names.some((name) => name.includes("'") && name.includes('"'))) return null;
  const [models, versions]: [ModelRow[], VersionRow[]] = [[], []];
  for (const name of names) {
    const filter = name.includes("'") ? `name = "${name}"` : `name = '${name}'`;
    const search = (path: string, max_results: number, field: string) =>
      readAll(client, `${api}/${path}/search`, { filter, max_results }, field, signal);
    const [ofModel, ofVersions] = await Promise.all([
      search('registered-models', 100, 'registered_models'),
      search('model-versions', versionsPerFirstPage, 'model_versions'),
    ]);
    // Databases with case-insensitive comparison return more than was asked for.
    models.push(
      ...unique(
        ofModel.map(modelRow).filter((row) => row.name === name),
        (row) => row.name,
      ),
    );
    versions.push(
      ...unique(
        ofVersions.map(versionRow).filter((row) => row.name === name),
        (row) => row.version,
      ),
    );
  }
  const runs = await readRunsOfVersions(
    client,
    { ...known, versions },
    { rows: known, reread: newestRuns(versions) },
    signal,
  );
  const allRuns = [...runs, ...(await readNewRuns(client, versions, runs, signal))];
  const rows = { experiments: known.experiments, versions, runs: allRuns };
  return {
    models,
    versions,
    runs: allRuns,
    loggedModels: await readLoggedModelsOf(client, rows, null, () => true, signal),
  };
}

/** Logged models of versions: known ones of finished runs are kept. */
async function readLoggedModelsOf(
  client: HttpClient,
  rows: Pick<RegistryRows, 'experiments' | 'versions' | 'runs'>,
  known: RegistryRows | null,
  reread: (id: string) => boolean,
  signal: AbortSignal,
): Promise<LoggedModelRow[]> {
  const { kept, wanted } = await unchangedLoggedModels(rows, known, reread);
  const experimentIds = rows.experiments.map(({ experimentId }) => experimentId);
  return [...kept, ...(await readLoggedModels(client, wanted, experimentIds, signal))];
}

/** `/version` is missing before 2.1 and may be hidden by a proxy: the version is unknown then. */
async function readServerVersion(client: HttpClient, signal: AbortSignal): Promise<string | null> {
  const answer = await client.get('/version', {}, signal).catch(() => null);
  return answer?.status === 200 && /^\d+\.\d+[\w.+-]*$/.test(answer.text.trim()) ? answer.text.trim() : null;
}
