import { stat } from 'node:fs/promises';
import { createBreath } from '../../src/kernel/breathe.ts';
import type { Clock } from '../../src/kernel/clock.ts';
import { TowerError } from '../../src/kernel/errors.ts';
import type { ExperimentRow, RegistryRows, RunRow } from './snapshot.ts';
import { finiteOrNull, type MetricPoint, type RegistrySource, type Run, sortedRecord } from './source.ts';
import type { TableRead, TableRows } from './sqlite-read.ts';
import { createSqliteReader, type SqliteReader, type Tables } from './sqlite-reader.ts';

const ofVersions = 'run_uuid in (select run_id from model_versions)';
const runColumns = ['run_uuid', 'experiment_id', 'name', 'status', 'lifecycle_stage', 'start_time', 'end_time'];

/** Reads an MLflow store straight from its SQLite file, with no MLflow server. Read-only. */
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
 * Size and time of the file and its write-ahead log, or null where they cannot tell: a file changed within
 * the last two seconds may change again without showing it, because file times are coarse.
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
    ],
    signal,
  );
  if (!tables['registered_models'] || !tables['experiments']) {
    throw new TowerError('unavailable', `the SQLite file ${path} has no MLflow tables; is it an MLflow store?`);
  }
  return joinTables(tables);
}

async function joinTables(tables: Tables): Promise<RegistryRows> {
  const breath = createBreath();
  const experimentTags = await groupBy(rowsOf(tables, 'experiment_tags'), (row) => text(row['experiment_id']));
  const modelTags = await groupBy(rowsOf(tables, 'registered_model_tags'), (row) => text(row['name']));
  const modelAliases = await groupBy(rowsOf(tables, 'registered_model_aliases'), (row) => text(row['name']));
  const versionTags = await groupBy(rowsOf(tables, 'model_version_tags'), (row) => `${row['version']}\n${row['name']}`);
  const metrics = await groupBy(rowsOf(tables, 'latest_metrics'), (row) => text(row['run_uuid']));
  const versions = [];
  for (const row of rowsOf(tables, 'model_versions')) {
    if (breath.due()) await breath.take();
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
    if (breath.due()) await breath.take();
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
  return { experiments, models, versions, runs, serverVersion: null };
}

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

async function readRuns(
  reader: SqliteReader,
  path: string,
  experimentId: string,
  limit: number,
  signal: AbortSignal,
): Promise<Run[]> {
  const newest = `select run_uuid from runs where experiment_id = cast(? as integer) and lifecycle_stage = 'active' order by start_time desc limit ?`;
  const where = `run_uuid in (${newest})`;
  const values = [experimentId, limit];
  const tables = await reader.read(
    path,
    [
      { table: 'experiments', columns: ['name'], where: 'experiment_id = cast(? as integer)', values: [experimentId] },
      {
        table: 'runs',
        columns: runColumns,
        asText: ['experiment_id'],
        where,
        values,
        orderBy: 'start_time desc, run_uuid',
      },
      { table: 'latest_metrics', columns: ['run_uuid', 'key', 'value', 'timestamp', 'is_nan'], where, values },
      { table: 'params', columns: ['run_uuid', 'key', 'value'], where, values },
      { table: 'tags', columns: ['run_uuid', 'key', 'value'], where, values },
    ],
    signal,
  );
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
  const columns = ['metric_name', 'metric_value', 'metric_timestamp_ms', 'metric_step', 'run_id', 'dataset_name'];
  const tables = await reader.read(
    path,
    [{ table: 'logged_model_metrics', columns, where: 'model_id = ?', values: [modelId] }],
    signal,
  );
  return rowsOf(tables, 'logged_model_metrics').map((row) => ({
    metric: text(row['metric_name']),
    value: value(row['metric_value'], 0),
    at: Number(row['metric_timestamp_ms']),
    step: Number(row['metric_step']),
    runId: text(row['run_id']),
    dataset: text(row['dataset_name']) || null,
  }));
}

const rowsOf = (tables: Tables, table: string): TableRows => tables[table] ?? [];
const text = (cell: unknown): string => (cell === null || cell === undefined ? '' : String(cell));
const time = (cell: unknown): number | null => (typeof cell === 'number' && cell > 0 ? cell : null);
const value = (cell: unknown, isNan: unknown): number | null =>
  isNan || typeof cell !== 'number' ? null : finiteOrNull(cell);

const keyValues = (rows: TableRows | undefined): Record<string, string> =>
  sortedRecord((rows ?? []).map((row) => [text(row['key']), text(row['value'])] as const));

async function groupBy(rows: TableRows, keyOf: (row: TableRows[number]) => string): Promise<Map<string, TableRows>> {
  const breath = createBreath();
  const groups = new Map<string, TableRows>();
  for (const row of rows) {
    if (breath.due()) await breath.take();
    const key = keyOf(row);
    const group = groups.get(key);
    if (group) group.push(row);
    else groups.set(key, [row]);
  }
  return groups;
}
