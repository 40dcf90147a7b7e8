import { stat } from 'node:fs/promises';
import type { Clock } from '#kernel/clock.ts';
import { TowerError } from '#kernel/errors.ts';
import type { RegistryRows } from '../snapshot/snapshot.ts';
import type { MetricPoint, RegistrySource, Run, RunDetail } from './source.ts';
import type { TableRead } from './sqlite-query.ts';
import { createSqliteReader, type SqliteReader } from './sqlite-reader.ts';
import { joinTables, loggedMetric, rowsOf, runsOf, text, value, withDatasets } from './sqlite-rows.ts';

const ofVersions = 'run_uuid in (select run_id from model_versions)';
const runColumns = ['run_uuid', 'experiment_id', 'name', 'status', 'lifecycle_stage', 'start_time', 'end_time'];

/** Logged models of the runs of versions, or named by the source of a version. */
const modelsOfVersions = `model_id in (select model_id from logged_models where source_run_id in (select run_id from model_versions)
  union select substr(source, 9) from model_versions where source like 'models:/m-%')`;
const lastStep = `(model_id, metric_name, metric_step) in
  (select model_id, metric_name, max(metric_step) from logged_model_metrics group by model_id, metric_name)`;
const loggedMetricColumns = [
  'model_id',
  'metric_name',
  'metric_value',
  'metric_timestamp_ms',
  'metric_step',
  'run_id',
  'dataset_name',
];

/** Reads an MLflow store from its SQLite file, without an MLflow server. Read-only. */
export function createSqliteSource(
  path: string,
  label: string,
  fingerprint: string,
  workspace: string,
  clock: Clock,
): RegistrySource {
  const reader = createSqliteReader();
  let lastStamp: string | null = null;
  return {
    label,
    fingerprint,
    readRegistry: async (known, signal) => {
      const stamp = await fileStamp(path, clock);
      if (known && stamp !== null && stamp === lastStamp) return null;
      const rows = await readRegistry(reader, path, workspace, signal);
      lastStamp = stamp;
      return rows;
    },
    readRuns: (experimentId, limit, signal) => readRuns(reader, path, experimentId, limit, signal),
    readRunsById: (ids, signal) => readRunsById(reader, path, ids, signal),
    readTaggedRuns: (tags, signal) => readTaggedRuns(reader, path, tags, signal),
    readHistory: (runIds, metrics, signal) => readHistory(reader, path, runIds, metrics, signal),
    readLoggedModel: (modelId, signal) => readLoggedModel(reader, path, modelId, signal),
    countRuns: async (experimentId, signal) => {
      const where = "experiment_id = cast(? as integer) and lifecycle_stage = 'active'";
      const tables = await reader.read(
        path,
        [{ table: 'runs', columns: ['run_uuid'], where, values: [experimentId] }],
        signal,
      );
      return rowsOf(tables, 'runs').length;
    },
    ping: async (signal) => {
      await reader.read(path, [{ table: 'registered_models', columns: ['name'], where: 'rowid = 0' }], signal);
    },
    close: () => reader.close(),
  };
}

/**
 * Size and time of the file and its write-ahead log; null if they are unreliable: a file changed within the last two
 * seconds may change again unnoticed, because file times are coarse.
 */
async function fileStamp(path: string, clock: Clock): Promise<string | null> {
  const facts = await Promise.all([stat(path).catch(() => null), stat(`${path}-wal`).catch(() => null)]);
  if (facts.some((file) => file && clock.now() - file.mtimeMs < 2000)) return null;
  return facts.map((file) => (file ? `${file.ino}:${file.size}:${file.mtimeMs}` : '-')).join('|');
}

async function readRegistry(
  reader: SqliteReader,
  path: string,
  workspace: string,
  signal: AbortSignal,
): Promise<RegistryRows> {
  const owned = (table: string, columns: string[], asText: string[] = []): TableRead => ({
    table,
    columns,
    asText,
    workspace,
  });
  const tables = await reader.read(
    path,
    [
      owned(
        'experiments',
        ['experiment_id', 'name', 'artifact_location', 'lifecycle_stage', 'creation_time', 'last_update_time'],
        ['experiment_id'],
      ),
      { table: 'experiment_tags', columns: ['experiment_id', 'key', 'value'], asText: ['experiment_id'] },
      owned('registered_models', ['name', 'creation_time', 'last_updated_time', 'description']),
      owned('registered_model_tags', ['name', 'key', 'value']),
      owned('registered_model_aliases', ['name', 'alias', 'version']),
      owned('model_versions', [
        'name',
        'version',
        'creation_time',
        'last_updated_time',
        'description',
        'current_stage',
        'source',
        'run_id',
        'status',
      ]),
      owned('model_version_tags', ['name', 'version', 'key', 'value']),
      { table: 'runs', columns: runColumns, asText: ['experiment_id'], where: ofVersions },
      { table: 'latest_metrics', columns: ['run_uuid', 'key', 'value', 'timestamp', 'is_nan'], where: ofVersions },
      { table: 'logged_models', columns: ['model_id'], where: modelsOfVersions },
      { table: 'logged_model_metrics', columns: loggedMetricColumns, where: `${modelsOfVersions} and ${lastStep}` },
    ],
    signal,
  );
  if (!tables['registered_models'] || !tables['experiments']) {
    throw new TowerError('unavailable', `the SQLite file ${path} has no MLflow tables; is it an MLflow store?`);
  }
  return joinTables(tables);
}

async function readRuns(
  reader: SqliteReader,
  path: string,
  experimentId: string,
  limit: number,
  signal: AbortSignal,
): Promise<Run[]> {
  const newest = `select run_uuid from runs where experiment_id = cast(? as integer) and lifecycle_stage = 'active' order by start_time desc limit ?`;
  return runsOf(await reader.read(path, runReads(`run_uuid in (${newest})`, [experimentId, limit]), signal));
}

async function readRunsById(
  reader: SqliteReader,
  path: string,
  ids: string[],
  signal: AbortSignal,
): Promise<RunDetail[]> {
  const marks = ids.map(() => '?').join();
  const inputs = {
    table: 'inputs',
    columns: ['source_id', 'destination_id'],
    where: `source_type = 'DATASET' and destination_type = 'RUN' and destination_id in (${marks})`,
    values: ids,
  };
  const used = `dataset_uuid in (select source_id from inputs where destination_id in (${marks}))`;
  const datasets = { table: 'datasets', columns: ['dataset_uuid', 'name', 'digest'], where: used, values: ids };
  const reads = runReads(`run_uuid in (${marks})`, ids);
  const tables = await reader.read(path, [...reads, inputs, datasets], signal).catch(async (error: unknown) => {
    // Stores from before MLflow 2.4 lack these tables, and a condition on a missing table fails.
    if (!(error as Error).message.includes('no such table')) throw error;
    return reader.read(path, reads, signal);
  });
  return withDatasets(await runsOf(tables), tables);
}

/** Runs whose tags name a model. */
async function readTaggedRuns(
  reader: SqliteReader,
  path: string,
  tags: Record<string, string>,
  signal: AbortSignal,
): Promise<Run[]> {
  const pairs = Object.entries(tags);
  const each = pairs.map(() => 'run_uuid in (select run_uuid from tags where key = ? and value = ?)');
  return runsOf(await reader.read(path, runReads(each.join(' and '), pairs.flat()), signal));
}

function runReads(where: string, values: (string | number)[]): TableRead[] {
  const order = { orderBy: 'start_time desc, run_uuid' };
  return [
    { table: 'runs', columns: runColumns, asText: ['experiment_id'], where, values, ...order },
    { table: 'latest_metrics', columns: ['run_uuid', 'key', 'value', 'timestamp', 'is_nan'], where, values },
    { table: 'params', columns: ['run_uuid', 'key', 'value'], where, values },
    { table: 'tags', columns: ['run_uuid', 'key', 'value'], where, values },
  ];
}

async function readHistory(
  reader: SqliteReader,
  path: string,
  runIds: string[],
  metrics: string[],
  signal: AbortSignal,
): Promise<MetricPoint[]> {
  const where = `run_uuid in (${runIds.map(() => '?')}) and key in (${metrics.map(() => '?')})`;
  const columns = ['run_uuid', 'key', 'value', 'timestamp', 'step', 'is_nan'];
  const tables = await reader.read(
    path,
    [{ table: 'metrics', columns, where, values: [...runIds, ...metrics] }],
    signal,
  );
  return rowsOf(tables, 'metrics').map((row) => ({
    metric: text(row['key']),
    value: value(row['value'], row['is_nan']),
    at: Number(row['timestamp']),
    step: Number(row['step']),
    runId: text(row['run_uuid']),
    dataset: null,
  }));
}

async function readLoggedModel(
  reader: SqliteReader,
  path: string,
  modelId: string,
  signal: AbortSignal,
): Promise<MetricPoint[]> {
  const tables = await reader.read(
    path,
    [{ table: 'logged_model_metrics', columns: loggedMetricColumns, where: 'model_id = ?', values: [modelId] }],
    signal,
  );
  return rowsOf(tables, 'logged_model_metrics').map(loggedMetric);
}
