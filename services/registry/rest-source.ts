import { forEachBreathing } from '../../src/kernel/breathe.ts';
import type { HttpClient } from '../../src/kernel/http-client.ts';
import { experimentRow, metricPoint, modelRow, record, records, run, runRow, versionRow } from './mlflow-json.ts';
import { expectJson, pages, readAll } from './rest-pages.ts';
import type { ExperimentRow, ModelRow, RegistryRows, RunRow, VersionRow } from './snapshot.ts';
import { versionKey } from './snapshot.ts';
import { isFinished, type Known, type MetricPoint, type ModelRows, type RegistrySource, type Run } from './source.ts';

const api = '/api/2.0/mlflow';
const modelsPerPage = 1000;
// The first read takes as much as it can from one moment of a live list. Later ones have the first to be checked
// against, and take small pages: parsing a large one would hold up the requests that are answered meanwhile.
const versionsPerFirstPage = 10_000;
const versionsPerPage = 1_000;
const experimentsPerPage = 1000;
const runsPerBatch = 100;
const batchesAtOnce = 4;
const runsPerPage = 1000;
const historyPerPage = 25_000;

/** Reads a registry from an MLflow server, 2.x or 3.x, by bulk reads only. */
export function createRestSource(client: HttpClient, label: string, fingerprint: string): RegistrySource {
  return {
    label,
    fingerprint,
    readRegistry: (known, signal) => readRegistry(client, known, signal),
    readModels: (names, known, signal) => readModelsByName(client, names, known, signal),
    readRuns: (experimentId, limit, signal) => readRuns(client, experimentId, limit, signal),
    readHistory: (runIds, metrics, signal) => readHistory(client, runIds, metrics, signal),
    readLoggedModel: (modelId, signal) => readLoggedModel(client, modelId, signal),
    countRuns: async (experimentId, signal) => {
      let count = 0;
      const body = { experiment_ids: [experimentId], max_results: runsPerPage };
      for await (const page of pages(client, { post: `${api}/runs/search`, body }, 'runs', signal))
        count += page.length;
      return count;
    },
    ping: async (signal) => {
      expectJson(await client.get(`${api}/experiments/search`, { max_results: 1 }, signal));
    },
    close: () => client.close(),
  };
}

async function readRegistry(client: HttpClient, known: Known | null, signal: AbortSignal): Promise<RegistryRows> {
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
  return { ...rows, runs: await readRunsOfVersions(client, rows, known, signal) };
}

/** All models; a second sweep where an edit between two pages may have hidden one we knew, as for versions. */
async function readModels(client: HttpClient, known: Known | null, signal: AbortSignal): Promise<ModelRow[]> {
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
 * All versions. Paging is by offset over a live order, so an edit between two pages can hide a version:
 * where the sweep took more than one page and something we knew is gone, a second sweep must agree.
 */
async function readVersions(client: HttpClient, known: Known | null, signal: AbortSignal): Promise<VersionRow[]> {
  const found = new Map<string, VersionRow>();
  const sweep = async (): Promise<number> => {
    const query = {
      max_results: known ? versionsPerPage : versionsPerFirstPage,
      order_by: ['name ASC', 'version_number ASC'],
    };
    let pageCount = 0;
    for await (const page of pages(client, { get: `${api}/model-versions/search`, query }, 'model_versions', signal)) {
      pageCount += 1;
      await forEachBreathing(page, (json) => {
        const row = versionRow(json);
        found.set(versionKey(row.name, row.version), row);
      });
    }
    return pageCount;
  };
  if ((await sweep()) > 1 && known) {
    let missing = false;
    await forEachBreathing(known.rows.versions, (row) => {
      missing ||= !found.has(versionKey(row.name, row.version));
    });
    if (missing) await sweep();
  }
  return [...found.values()];
}

/** A few models by name, through the searches: `get` refuses names with `:` or `/` that the searches still know. */
async function readModelsByName(
  client: HttpClient,
  names: string[],
  known: RegistryRows,
  signal: AbortSignal,
): Promise<ModelRows | null> {
  // A name with both kinds of quotes cannot be written in a filter.
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
    // Databases that compare without regard to case find more than was asked for.
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
  const runs = await readRunsOfVersions(client, { ...known, versions }, { rows: known, reread: () => false }, signal);
  return { models, versions, runs: [...runs, ...(await readNewRuns(client, versions, runs, signal))] };
}

/** Runs of an experiment that is newer than the last whole read are not found by a search through the known ones. */
async function readNewRuns(client: HttpClient, versions: VersionRow[], found: RunRow[], signal: AbortSignal) {
  const there = new Set(found.map((run) => run.runId));
  const missing = [...new Set(versions.flatMap(({ runId }) => (runId && !there.has(runId) ? [runId] : [])))];
  const answers = await Promise.all(
    // A run that is gone for good is missing every time; the newest are those that matter.
    missing.slice(-10).map((runId) => client.get(`${api}/runs/get`, { run_id: runId }, signal)),
  );
  return answers.flatMap((answer) => (answer.status === 200 ? [runRow(record(record(answer.json)['run']))] : []));
}

/** Runs behind the versions: finished ones we know are kept, the others read in batches by id. */
async function readRunsOfVersions(
  client: HttpClient,
  rows: { experiments: ExperimentRow[]; versions: VersionRow[] },
  known: Known | null,
  signal: AbortSignal,
): Promise<RunRow[]> {
  const wanted = new Set<string>();
  await forEachBreathing(rows.versions, ({ runId }) => {
    if (runId !== null && /^[\w-]+$/.test(runId)) wanted.add(runId);
  });
  const runs: RunRow[] = [];
  await forEachBreathing(known?.rows.runs ?? [], (run) => {
    if (isFinished(run.status) && !known?.reread(run.runId) && wanted.delete(run.runId)) runs.push(run);
  });
  const experimentIds = rows.experiments.map((item) => item.experimentId);
  const batches = inBatches([...wanted], runsPerBatch).values();
  // A few at a time: a queue of thousands would be sent to a server in trouble long after the refresh was given up.
  const inTurn = async () => {
    for (const ids of batches) runs.push(...(await readRunBatch(client, ids, experimentIds, signal)));
  };
  await Promise.all(Array.from({ length: batchesAtOnce }, inTurn));
  return runs;
}

async function readRunBatch(
  client: HttpClient,
  ids: string[],
  experimentIds: string[],
  signal: AbortSignal,
): Promise<RunRow[]> {
  const filter = `attributes.run_id IN (${ids.map((id) => `'${id}'`).join(',')})`;
  const body = { experiment_ids: experimentIds, filter, run_view_type: 'ALL', max_results: runsPerBatch };
  const found: RunRow[] = [];
  for await (const page of pages(client, { post: `${api}/runs/search`, body }, 'runs', signal)) {
    for (const json of page) found.push(runRow(json));
  }
  return unique(found, (item) => item.runId);
}

async function readRuns(client: HttpClient, experimentId: string, limit: number, signal: AbortSignal): Promise<Run[]> {
  const body = {
    experiment_ids: [experimentId],
    max_results: Math.min(limit, runsPerPage),
    order_by: ['attributes.start_time DESC'],
  };
  const found: Run[] = [];
  for await (const page of pages(client, { post: `${api}/runs/search`, body }, 'runs', signal)) {
    for (const json of page) found.push(run(json));
    if (found.length >= limit) break;
  }
  return unique(found, (item) => item.runId).slice(0, limit);
}

/** Histories one metric of up to 100 runs a call where the server can, else run by run. */
async function readHistory(
  client: HttpClient,
  runIds: string[],
  metrics: string[],
  signal: AbortSignal,
): Promise<MetricPoint[]> {
  const points: MetricPoint[] = [];
  for (const metric of metrics) {
    for (const ids of inBatches(runIds, 100)) {
      const query = { run_id: ids, metric_key: metric, max_results: historyPerPage };
      const answer = await client.get('/ajax-api/2.0/mlflow/metrics/get-history-bulk', query, signal);
      const rows = answer.status === 200 ? records(record(answer.json)['metrics']) : [];
      // The bulk call has no paging: a full answer may be a cut one.
      const whole = answer.status === 200 && answer.json !== undefined && rows.length < historyPerPage;
      const more = whole
        ? rows.map((json) => metricPoint(json, ''))
        : await readHistoryOneByOne(client, ids, metric, signal);
      for (const point of more) points.push(point);
    }
  }
  return points;
}

async function readHistoryOneByOne(
  client: HttpClient,
  runIds: string[],
  metric: string,
  signal: AbortSignal,
): Promise<MetricPoint[]> {
  const perRun = runIds.map(async (runId) => {
    const query = { run_id: runId, metric_key: metric, max_results: historyPerPage };
    const rows = await readAll(client, `${api}/metrics/get-history`, query, 'metrics', signal);
    return rows.map((json) => metricPoint(json, runId));
  });
  return (await Promise.all(perRun)).flat();
}

async function readLoggedModel(client: HttpClient, modelId: string, signal: AbortSignal): Promise<MetricPoint[]> {
  const answer = await client.get(`${api}/logged-models/${encodeURIComponent(modelId)}`, {}, signal);
  if (answer.status === 404) return [];
  const model = record(record(expectJson(answer))['model']);
  return records(record(model['data'])['metrics']).map((json) => metricPoint(json, ''));
}

/** `/version` is missing before 2.1 and may be hidden behind a proxy: then the version is simply not known. */
async function readServerVersion(client: HttpClient, signal: AbortSignal): Promise<string | null> {
  const answer = await client.get('/version', {}, signal).catch(() => null);
  return answer?.status === 200 && /^\d+\.\d+[\w.+-]*$/.test(answer.text.trim()) ? answer.text.trim() : null;
}

function unique<T>(items: T[], keyOf: (item: T) => string): T[] {
  return [...new Map(items.map((item) => [keyOf(item), item])).values()];
}

function inBatches<T>(items: T[], size: number): T[][] {
  return Array.from({ length: Math.ceil(items.length / size) }, (_, i) => items.slice(i * size, (i + 1) * size));
}
