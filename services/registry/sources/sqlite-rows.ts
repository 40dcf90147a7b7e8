import { createYielder } from '#kernel/yield-event-loop.ts';
import { createLoggedModelIds, type LoggedModelRow } from '../snapshot/logged-models.ts';
import type { ExperimentRow, RegistryRows, RunRow, VersionRow } from '../snapshot/snapshot.ts';
import { finiteOrNull, lastValues, type MetricPoint, type Run, type RunDetail, sortedRecord } from './source.ts';
import type { TableRows } from './sqlite-query.ts';
import type { Tables } from './sqlite-reader.ts';

/** Converts rows of MLflow's tables to our rows. */

/** Converts all tables of a registry. */
export async function joinTables(tables: Tables): Promise<RegistryRows> {
  const yielder = createYielder();
  const experimentTags = await groupBy(rowsOf(tables, 'experiment_tags'), (row) => text(row['experiment_id']));
  const modelTags = await groupBy(rowsOf(tables, 'registered_model_tags'), (row) => text(row['name']));
  const modelAliases = await groupBy(rowsOf(tables, 'registered_model_aliases'), (row) => text(row['name']));
  const versionTags = await groupBy(rowsOf(tables, 'model_version_tags'), (row) => `${row['version']}\n${row['name']}`);
  const metrics = await groupBy(rowsOf(tables, 'latest_metrics'), (row) => text(row['run_uuid']));
  const versions: VersionRow[] = [];
  for (const row of rowsOf(tables, 'model_versions')) {
    if (yielder.due()) await yielder.yieldNow();
    versions.push({
      name: text(row['name']),
      version: text(row['version']),
      createdAt: time(row['creation_time']),
      updatedAt: time(row['last_updated_time']),
      currentStage: text(row['current_stage']) || 'None',
      description: text(row['description']),
      source: text(row['source']),
      status: text(row['status']) || 'READY',
      runId: text(row['run_id']) || null,
      tags: keyValues(versionTags.get(`${row['version']}\n${row['name']}`)),
    });
  }
  const runs: RunRow[] = [];
  for (const row of rowsOf(tables, 'runs')) {
    if (yielder.due()) await yielder.yieldNow();
    runs.push(runRow(row, metrics.get(text(row['run_uuid'])) ?? []));
  }
  const models = rowsOf(tables, 'registered_models').map((row) => ({
    name: text(row['name']),
    createdAt: time(row['creation_time']),
    updatedAt: time(row['last_updated_time']),
    description: text(row['description']),
    tags: keyValues(modelTags.get(text(row['name']))),
    aliases: sortedRecord(
      (modelAliases.get(text(row['name'])) ?? []).map((item) => [text(item['alias']), text(item['version'])] as const),
    ),
  }));
  const experiments = rowsOf(tables, 'experiments').map((row) =>
    experimentRow(row, experimentTags.get(text(row['experiment_id']))),
  );
  return {
    experiments,
    models,
    versions,
    runs,
    loggedModels: await loggedModelsOf(tables, versions),
    serverVersion: null,
  };
}

async function loggedModelsOf(tables: Tables, versions: VersionRow[]): Promise<LoggedModelRow[]> {
  const idOf = createLoggedModelIds(versions);
  const wanted = new Set(versions.map(idOf));
  const metrics = await groupBy(rowsOf(tables, 'logged_model_metrics'), (row) => text(row['model_id']));
  return rowsOf(tables, 'logged_models')
    .map((row) => text(row['model_id']))
    .filter((modelId) => wanted.has(modelId))
    .map((modelId) => ({ modelId, metrics: lastValues((metrics.get(modelId) ?? []).map(loggedMetric)) }));
}

export const loggedMetric = (row: TableRows[number]): MetricPoint => ({
  metric: text(row['metric_name']),
  value: value(row['metric_value'], 0),
  at: Number(row['metric_timestamp_ms']),
  step: Number(row['metric_step']),
  runId: text(row['run_id']),
  dataset: text(row['dataset_name']) || null,
});

const experimentRow = (row: TableRows[number], tags: TableRows | undefined): ExperimentRow => ({
  experimentId: text(row['experiment_id']),
  name: text(row['name']),
  artifactLocation: text(row['artifact_location']),
  lifecycleStage: text(row['lifecycle_stage']) || 'active',
  createdAt: time(row['creation_time']),
  updatedAt: time(row['last_update_time']),
  tags: keyValues(tags),
});

function runRow(row: TableRows[number], metrics: TableRows): RunRow {
  const endedAt = time(row['end_time']);
  return {
    runId: text(row['run_uuid']),
    experimentId: text(row['experiment_id']),
    status: text(row['status']),
    deleted: row['lifecycle_stage'] === 'deleted',
    startedAt: time(row['start_time']),
    endedAt,
    metrics: sortedRecord(
      metrics.map((metric) => [text(metric['key']), value(metric['value'], metric['is_nan'])] as const),
    ),
    lateMetrics: metrics
      .filter((metric) => endedAt !== null && Number(metric['timestamp']) > endedAt)
      .map((metric) => text(metric['key']))
      .sort(),
  };
}

/** Runs with params and tags, in the order read. */
export async function runsOf(tables: Tables): Promise<Run[]> {
  const byRun = (name: string) => groupBy(rowsOf(tables, name), (row) => text(row['run_uuid']));
  const [metrics, params, tags] = await Promise.all([byRun('latest_metrics'), byRun('params'), byRun('tags')]);
  return rowsOf(tables, 'runs').map((row) => {
    const { lateMetrics: _, ...run } = runRow(row, metrics.get(text(row['run_uuid'])) ?? []);
    return {
      ...run,
      name: text(row['name']),
      params: keyValues(params.get(run.runId)),
      tags: keyValues(tags.get(run.runId)),
    };
  });
}

export function withDatasets(runs: Run[], tables: Tables): RunDetail[] {
  const byId = new Map(rowsOf(tables, 'datasets').map((row) => [text(row['dataset_uuid']), row]));
  return runs.map((run) => ({
    ...run,
    datasets: rowsOf(tables, 'inputs').flatMap((input) => {
      const dataset = input['destination_id'] === run.runId ? byId.get(text(input['source_id'])) : undefined;
      return dataset ? [{ name: text(dataset['name']), digest: text(dataset['digest']) }] : [];
    }),
  }));
}

export const rowsOf = (tables: Tables, table: string): TableRows => tables[table] ?? [];
export const text = (cell: unknown): string => (cell === null || cell === undefined ? '' : String(cell));
const time = (cell: unknown): number | null => (typeof cell === 'number' && cell > 0 ? cell : null);
export const value = (cell: unknown, isNan: unknown): number | null =>
  isNan || typeof cell !== 'number' ? null : finiteOrNull(cell);

const keyValues = (rows: TableRows | undefined): Record<string, string> =>
  sortedRecord((rows ?? []).map((row) => [text(row['key']), text(row['value'])] as const));

async function groupBy(rows: TableRows, keyOf: (row: TableRows[number]) => string): Promise<Map<string, TableRows>> {
  const yielder = createYielder();
  const groups = new Map<string, TableRows>();
  for (const row of rows) {
    if (yielder.due()) await yielder.yieldNow();
    const key = keyOf(row);
    const group = groups.get(key);
    if (group) group.push(row);
    else groups.set(key, [row]);
  }
  return groups;
}
