import { TowerError } from '#kernel/errors.ts';
import type { ExperimentRow, ModelRow, RunRow, VersionRow } from '../snapshot/snapshot.ts';
import { finiteOrNull, type MetricPoint, type Run, type RunDetail, sortedRecord } from './source.ts';

/**
 * Converts MLflow's JSON to rows. MLflow omits empty lists and unset fields, writes NaN and infinity as strings, ids
 * and versions as strings, and times as numbers of milliseconds; older servers write some numbers as strings. Any field
 * may be missing except what identifies an object. All throw TowerError `unavailable` for a value of another type: such an
 * answer is not MLflow's, and must not look like an empty registry.
 */
type Json = Record<string, unknown>;

/** An answer with status 200 that MLflow does not give. */
export const implausible = (what: string): TowerError =>
  new TowerError('unavailable', `MLflow answered with ${what}; is a proxy in front of it?`, { retryAfterSeconds: 30 });

const isObject = (value: unknown): value is Json =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** A list of objects; empty if the field is missing. */
export function records(value: unknown): Json[] {
  if (value === undefined) return [];
  if (Array.isArray(value) && value.every(isObject)) return value;
  throw implausible('something else than a list of objects');
}

/** An object; empty if the field is missing. */
export function record(value: unknown): Json {
  if (value === undefined || isObject(value)) return value ?? {};
  throw implausible(value === null ? 'null' : 'something else than an object');
}

export function text(value: unknown): string {
  if (typeof value === 'object' && value !== null) throw implausible('an object in place of a text');
  return typeof value === 'string' ? value : value == null ? '' : String(value);
}

/** A text that identifies an object, so it cannot be missing. */
function identity(json: Json, field: string): string {
  const value = text(json[field]);
  if (value === '') throw implausible(`an object without ${field}`);
  return value;
}

const time = (value: unknown): number | null => {
  const ms = Number(value ?? Number.NaN);
  return Number.isFinite(ms) && ms > 0 ? ms : null;
};

const number = (value: unknown): number | null => finiteOrNull(Number(value ?? Number.NaN));

const keyValues = (value: unknown): Record<string, string> =>
  sortedRecord(records(value).map((item) => [text(item['key']), text(item['value'])] as const));

export const experimentRow = (json: Json): ExperimentRow => ({
  experimentId: identity(json, 'experiment_id'),
  name: text(json['name']),
  artifactLocation: text(json['artifact_location']),
  lifecycleStage: text(json['lifecycle_stage']) || 'active',
  createdAt: time(json['creation_time']),
  updatedAt: time(json['last_update_time']),
  tags: keyValues(json['tags']),
});

export const modelRow = (json: Json): ModelRow => ({
  name: identity(json, 'name'),
  createdAt: time(json['creation_timestamp']),
  updatedAt: time(json['last_updated_timestamp']),
  description: text(json['description']),
  tags: keyValues(json['tags']),
  aliases: sortedRecord(records(json['aliases']).map((item) => [text(item['alias']), text(item['version'])] as const)),
});

export const versionRow = (json: Json): VersionRow => ({
  name: identity(json, 'name'),
  version: identity(json, 'version'),
  createdAt: time(json['creation_timestamp']),
  updatedAt: time(json['last_updated_timestamp']),
  currentStage: text(json['current_stage']) || 'None',
  description: text(json['description']),
  source: text(json['source']),
  status: text(json['status']) || 'READY',
  runId: text(json['run_id']) || null,
  tags: keyValues(json['tags']),
});

export function runRow(json: Json): RunRow {
  const info = record(json['info']);
  const metrics = records(record(json['data'])['metrics']);
  const endedAt = time(info['end_time']);
  return {
    runId: identity(info, info['run_id'] === undefined ? 'run_uuid' : 'run_id'),
    experimentId: text(info['experiment_id']),
    status: text(info['status']),
    deleted: info['lifecycle_stage'] === 'deleted',
    startedAt: time(info['start_time']),
    endedAt,
    metrics: sortedRecord(metrics.map((metric) => [text(metric['key']), number(metric['value'])] as const)),
    lateMetrics: metrics
      .filter((metric) => endedAt !== null && Number(metric['timestamp']) > endedAt)
      .map((metric) => text(metric['key']))
      .sort(),
  };
}

export function run(json: Json): Run {
  const { lateMetrics: _, ...row } = runRow(json);
  const data = record(json['data']);
  return {
    ...row,
    name: text(record(json['info'])['run_name']),
    params: keyValues(data['params']),
    tags: keyValues(data['tags']),
  };
}

export const runDetail = (json: Json): RunDetail => ({
  ...run(json),
  datasets: records(record(json['inputs'])['dataset_inputs']).map((input) => {
    const dataset = record(input['dataset']);
    return { name: text(dataset['name']), digest: text(dataset['digest']) };
  }),
});

/** A metric from get-history, get-history-bulk (with `run_id`) or a logged model (with `dataset_name`). */
export const metricPoint = (json: Json, runId: string): MetricPoint => ({
  metric: identity(json, 'key'),
  value: number(json['value']),
  at: time(json['timestamp']) ?? 0,
  step: Number(json['step'] ?? 0),
  runId: text(json['run_id']) || runId,
  dataset: text(json['dataset_name']) || null,
});
