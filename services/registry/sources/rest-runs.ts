import type { HttpClient } from '#kernel/http-client.ts';
import { forEachYielding } from '#kernel/yield-event-loop.ts';
import type { LoggedModelRow } from '../snapshot/logged-models.ts';
import type { ExperimentRow, RunRow, VersionRow } from '../snapshot/snapshot.ts';
import { experimentRow, metricPoint, record, records, run, runDetail, runRow, text } from './mlflow-json.ts';
import { api, expectJson, experimentsPerPage, pages, readAll, unique } from './rest-pages.ts';
import { isFinished, type KnownRuns, lastValues, type MetricPoint, type Run, type RunDetail } from './source.ts';

/** Runs, metrics and late metric values from an MLflow server. */

const runsPerBatch = 100;
const batchesAtOnce = 4;
const runsPerPage = 1000;
const historyPerPage = 25_000;

/** Searches cover known experiments only: runs of an experiment created after the last full read are not found. */
export async function readNewRuns(client: HttpClient, versions: VersionRow[], found: RunRow[], signal: AbortSignal) {
  const foundIds = new Set(found.map((run) => run.runId));
  const missing = [...new Set(versions.flatMap(({ runId }) => (runId && !foundIds.has(runId) ? [runId] : [])))];
  const answers = await Promise.all(
    // A deleted run is missing at every read, so retries are limited to the newest ones.
    missing.slice(-10).map((runId) => client.get(`${api}/runs/get`, { run_id: runId }, signal)),
  );
  return answers.flatMap((answer) =>
    answer.status === 200 ? [runRow(record(record(expectJson(answer))['run']))] : [],
  );
}

/** Source runs of versions: known finished ones are kept, the others read in batches by id. */
export async function readRunsOfVersions(
  client: HttpClient,
  rows: { experiments: ExperimentRow[]; versions: VersionRow[] },
  known: KnownRuns | null,
  signal: AbortSignal,
): Promise<RunRow[]> {
  const wanted = new Set<string>();
  await forEachYielding(rows.versions, ({ runId }) => {
    if (runId !== null && /^[\w-]+$/.test(runId)) wanted.add(runId);
  });
  const runs: RunRow[] = [];
  await forEachYielding(known?.rows.runs ?? [], (run) => {
    if (isFinished(run.status) && !known?.reread(run.runId) && wanted.delete(run.runId)) runs.push(run);
  });
  const experimentIds = rows.experiments.map((item) => item.experimentId);
  const batches = inBatches([...wanted], runsPerBatch).values();
  // Limited concurrency: a queue of thousands would reach a struggling server long after the refresh was aborted.
  const serialised = async () => {
    for (const ids of batches) runs.push(...(await readRunBatch(client, ids, experimentIds, signal)));
  };
  await Promise.all(Array.from({ length: batchesAtOnce }, serialised));
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

export async function readRuns(
  client: HttpClient,
  experimentId: string,
  limit: number,
  signal: AbortSignal,
): Promise<Run[]> {
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

/** Deleted runs are missing from the result. */
export async function readRunsById(client: HttpClient, ids: string[], signal: AbortSignal): Promise<RunDetail[]> {
  const answers = await Promise.all(ids.map((id) => client.get(`${api}/runs/get`, { run_id: id }, signal)));
  return answers.flatMap((answer) =>
    answer.status === 200 ? [runDetail(record(record(expectJson(answer))['run']))] : [],
  );
}

export async function countRuns(client: HttpClient, experimentId: string, signal: AbortSignal): Promise<number> {
  let count = 0;
  const body = { experiment_ids: [experimentId], max_results: runsPerPage };
  for await (const page of pages(client, { post: `${api}/runs/search`, body }, 'runs', signal)) count += page.length;
  return count;
}

/** A value that a filter cannot express matches no run. */
export async function readTaggedRuns(
  client: HttpClient,
  tags: Record<string, string>,
  signal: AbortSignal,
): Promise<Run[]> {
  const quoted = (value: string) => (value.includes("'") ? `"${value}"` : `'${value}'`);
  if (Object.values(tags).some((value) => value.includes("'") && value.includes('"'))) return [];
  const filter = Object.entries(tags)
    .map(([key, value]) => `tags.\`${key}\` = ${quoted(value)}`)
    .join(' and ');
  const query = { max_results: experimentsPerPage, view_type: 'ACTIVE_ONLY' };
  const experiments = await readAll(client, `${api}/experiments/search`, query, 'experiments', signal);
  const body = {
    experiment_ids: experiments.map((json) => experimentRow(json).experimentId),
    filter,
    max_results: runsPerPage,
  };
  const found: Run[] = [];
  for await (const page of pages(client, { post: `${api}/runs/search`, body }, 'runs', signal)) {
    for (const json of page) found.push(run(json));
  }
  return unique(found, (item) => item.runId);
}

/** Metric histories: one metric of up to 100 runs per call if the server supports it, else run by run. */
export async function readHistory(
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
      // Where a proxy answers in its place, the call for single runs says what is wrong.
      const isThere = answer.status === 200 && answer.json !== undefined;
      const rows = isThere ? records(record(answer.json)['metrics']) : [];
      // The bulk call has no paging: an answer of maximum length may be truncated.
      const whole = isThere && rows.length < historyPerPage;
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

const modelsPerBatch = 50;

/** Logged models by id, in batches where the server can search by id; those that do not exist are missing. */
export async function readLoggedModels(
  client: HttpClient,
  ids: string[],
  experimentIds: string[],
  signal: AbortSignal,
): Promise<LoggedModelRow[]> {
  const rows: LoggedModelRow[] = [];
  const batches = inBatches(ids, modelsPerBatch).values();
  const serialised = async () => {
    for (const batch of batches) rows.push(...(await readLoggedModelBatch(client, batch, experimentIds, signal)));
  };
  await Promise.all(Array.from({ length: batchesAtOnce }, serialised));
  return unique(rows, (row) => row.modelId);
}

async function readLoggedModelBatch(
  client: HttpClient,
  ids: string[],
  experiment_ids: string[],
  signal: AbortSignal,
): Promise<LoggedModelRow[]> {
  const list = ids.map((id) => `'${id.replaceAll("'", '')}'`).join(', ');
  const filter = ids.length === 1 ? `model_id = ${list}` : `model_id IN (${list})`;
  const body = { experiment_ids, filter, max_results: modelsPerBatch };
  const answer = await client.post(`${api}/logged-models/search`, body, signal);
  // Before MLflow 3 there are no logged models.
  if (answer.status === 404) return [];
  if (answer.status === 400) return readLoggedModelsOneByOne(client, ids, signal);
  return records(record(expectJson(answer))['models'])
    .map(loggedModelRow)
    .filter((row) => ids.includes(row.modelId));
}

async function readLoggedModelsOneByOne(
  client: HttpClient,
  ids: string[],
  signal: AbortSignal,
): Promise<LoggedModelRow[]> {
  const rows: LoggedModelRow[] = [];
  for (const id of ids) {
    const answer = await client.get(`${api}/logged-models/${encodeURIComponent(id)}`, {}, signal);
    if (answer.status !== 404) rows.push(loggedModelRow(record(record(expectJson(answer))['model'])));
  }
  return rows;
}

const loggedModelRow = (json: Record<string, unknown>): LoggedModelRow => ({
  modelId: text(record(json['info'])['model_id']),
  metrics: lastValues(records(record(json['data'])['metrics']).map((point) => metricPoint(point, ''))),
});

export async function readLoggedModel(
  client: HttpClient,
  modelId: string,
  signal: AbortSignal,
): Promise<MetricPoint[]> {
  const answer = await client.get(`${api}/logged-models/${encodeURIComponent(modelId)}`, {}, signal);
  if (answer.status === 404) return [];
  const model = record(record(expectJson(answer))['model']);
  return records(record(model['data'])['metrics']).map((json) => metricPoint(json, ''));
}

function inBatches<T>(items: T[], size: number): T[][] {
  return Array.from({ length: Math.ceil(items.length / size) }, (_, i) => items.slice(i * size, (i + 1) * size));
}
