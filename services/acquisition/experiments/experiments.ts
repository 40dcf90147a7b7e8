import { readdir, readFile, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { readCsv } from '#kernel/csv.ts';
import { invalid, notFound, publicText } from '#kernel/errors.ts';
import { readIfPresent, writeText } from '#kernel/files.ts';
import { readNumbers } from '#kernel/number-column.ts';

/** Load experiments on disk, one CSV of steps and one JSON of metadata each, in the format of docs/reference/file-formats.md. */

/** Counts and times of the concurrent load test; null if the file has none. */
export type LoadTest = {
  total: number | null;
  successful: number | null;
  /** Share of successful requests, 0 to 1. */
  successRate: number | null;
  durationSeconds: number | null;
  /** Requests per second. */
  throughput: number | null;
  /** Requests per second offered between the ramps. */
  offered: number | null;
  /** Rounds started, and rounds rejected because the maximum number of users was reached. */
  rounds: number | null;
  rejectedRounds: number | null;
  /** 95th percentile of latency, in milliseconds. */
  p95Ms: number | null;
};

export type Experiment = {
  id: string;
  service: string;
  scenario: string;
  /** Configured replicas. */
  replicas: number;
  users: number;
  durationMinutes: number | null;
  /** Time between two rows; null if the file does not have it. */
  stepSeconds: number | null;
  startedAt: string | null;
  /** Namespace and job that made it; null if the file does not have them. */
  namespace: string | null;
  job: string | null;
  loadTest: LoadTest | null;
  /** Rows × columns; NaN for empty cells. Infinity from a division by zero is kept. */
  rows: number;
  columns: Record<string, Float64Array>;
};

/** Columns that identify an experiment; they are in the file name too. */
const labels = ['timestamp', 'experiment_id', 'service', 'scenario', 'replica_count', 'load_users'];
const fileName = /^(?<service>[a-z0-9][a-z0-9-]*)_(?<scenario>[a-z]+)_replicas_(?<replicas>\d+)_users_(?<users>\d+)$/;

export const experimentId = (service: string, scenario: string, replicas: number, users: number): string =>
  `${service}_${scenario}_replicas_${replicas}_users_${users}`;

/** Ids of the experiments in a directory, sorted; optionally of one service. */
export async function listExperiments(directory: string, service?: string): Promise<string[]> {
  const names = await readdir(directory).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return [] as string[];
    throw invalid(`cannot read EXPERIMENTS_DIRECTORY (${error.code})`, { parameter: 'EXPERIMENTS_DIRECTORY' });
  });
  return names
    .filter((name) => name.endsWith('.csv'))
    .map((name) => name.slice(0, -4))
    .filter((id) => {
      const groups = fileName.exec(id)?.groups;
      return groups !== undefined && (service === undefined || groups['service'] === service);
    })
    .sort();
}

/** @throws TowerError `invalid` for a malformed file, `not_found` */
export async function loadExperiment(directory: string, id: string): Promise<Experiment> {
  const groups = fileName.exec(id)?.groups;
  if (!groups)
    throw invalid('an experiment id must be <service>_<scenario>_replicas_<n>_users_<n>', { parameter: 'id' });
  const read = async (file: string) =>
    readFile(join(directory, file), 'utf8').catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return null;
      throw invalid(`cannot read ${file} (${error.code})`);
    });
  const [csv, json] = await Promise.all([read(`${id}.csv`), read(`${id}.json`)]);
  if (csv === null) throw notFound(`experiment ${id} not found`, { id });
  return {
    id,
    service: groups['service']!,
    scenario: groups['scenario']!,
    replicas: Number(groups['replicas']),
    users: Number(groups['users']),
    ...circumstancesOf(json, id),
    ...stepsOf(csv, id),
  };
}

function stepsOf(csv: string, id: string): Pick<Experiment, 'rows' | 'columns'> {
  const { rows, delimiter } = readCsv(csv);
  const names = Object.keys(rows[0] ?? {}).filter((name) => !labels.includes(name));
  const columns = names.map((name): [string, Float64Array] => [
    name,
    numbersOf(
      rows.map((row) => (row[name] ?? '').trim()),
      `${id}.csv: ${name}`,
      delimiter === ',',
    ),
  ]);
  return { rows: rows.length, columns: Object.fromEntries(columns) };
}

/** The collector writes infinity from a division by zero unchanged. */
function numbersOf(cells: string[], name: string, isProgram: boolean): Float64Array {
  const infinite = cells.map((cell) => /^([+-]?)inf(inity)?$/i.exec(cell)?.[1]);
  const finite = cells.map((cell, i) => (infinite[i] === undefined ? cell : ''));
  const { values } = readNumbers(finite, name, null, isProgram);
  return Float64Array.from(values, (value, i) =>
    infinite[i] === undefined ? (value ?? Number.NaN) : Number(`${infinite[i]}Infinity`),
  );
}

type Circumstances = Pick<
  Experiment,
  'durationMinutes' | 'stepSeconds' | 'startedAt' | 'namespace' | 'job' | 'loadTest'
>;

function circumstancesOf(json: string | null, id: string): Circumstances {
  if (json === null)
    return { durationMinutes: null, stepSeconds: null, startedAt: null, namespace: null, job: null, loadTest: null };
  let metadata: unknown;
  try {
    metadata = JSON.parse(json);
  } catch {
    throw invalid(`${id}.json is not valid JSON`);
  }
  if (!isObject(metadata)) throw invalid(`${id}.json is not a JSON object`);
  return circumstancesIn(metadata);
}

/** An experiment in memory, equal to what would be read back from disk. */
export const experimentOf = (data: Saved, circumstances: Record<string, unknown>): Experiment => ({
  ...data,
  ...circumstancesIn(circumstances),
});

function circumstancesIn(metadata: Record<string, unknown>): Circumstances {
  const load = metadata['load_test'];
  return {
    durationMinutes: numberOr(metadata['duration_minutes']),
    stepSeconds: numberOr(metadata['metrics_collection_interval']),
    startedAt: textOr(metadata['collection_start']),
    namespace: textOr(metadata['namespace']),
    job: textOr(metadata['job']),
    loadTest: isObject(load) ? loadTestOf(load) : null,
  };
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

function loadTestOf(load: Record<string, unknown>): LoadTest {
  const [total, successful] = [numberOr(load['total_requests']), numberOr(load['successful_requests'])];
  return {
    total,
    successful,
    // Computed from the counts: in some files `success_rate` is a share, in others a percentage.
    successRate:
      total !== null && total > 0 && successful !== null && successful >= 0 && successful <= total
        ? successful / total
        : null,
    durationSeconds: numberOr(load['duration_seconds']),
    throughput: numberOr(load['throughput']),
    offered: numberOr(load['offered_requests_per_second']),
    rounds: numberOr(load['rounds']),
    rejectedRounds: numberOr(load['turned_away']),
    p95Ms: numberOr(load['p95_response_time']),
  };
}

const numberOr = (value: unknown): number | null =>
  typeof value === 'number' && Number.isFinite(value) ? value : null;
const textOr = (value: unknown): string | null => (typeof value === 'string' ? value : null);

type Saved = Pick<Experiment, 'id' | 'service' | 'scenario' | 'replicas' | 'users' | 'rows' | 'columns'>;

/**
 * Writes both files, the JSON last: an experiment without JSON is incomplete.
 * @param circumstances - written to the JSON unchanged, under `experiment_id` and `target_service`
 */
export async function saveExperiment(
  directory: string,
  { id, service, scenario, replicas, users, rows, columns }: Saved,
  circumstances: Record<string, unknown>,
): Promise<void> {
  const names = Object.keys(columns);
  const cellOf = (value: number) =>
    Number.isNaN(value) ? '' : Number.isFinite(value) ? String(value) : value > 0 ? 'inf' : '-inf';
  const lines = Array.from({ length: rows }, (_, i) =>
    [`t_${i}`, id, service, scenario, replicas, users, ...names.map((name) => cellOf(columns[name]![i]!))].join(','),
  );
  await writeText(
    join(directory, `${id}.csv`),
    `${[...labels, ...names].join(',')}\n${lines.map((line) => `${line}\n`).join('')}`,
  );
  const about = {
    experiment_id: id,
    target_service: service,
    replica_count: replicas,
    load_users: users,
    ...circumstances,
  };
  await writeText(join(directory, `${id}.json`), `${JSON.stringify(about, null, 2)}\n`);
}

/** Deletes the files of all experiments, or of one service. Returns the number of deleted experiments. */
export async function deleteExperiments(directory: string, service?: string): Promise<number> {
  const ids = await listExperiments(directory, service);
  for (const id of ids)
    for (const file of [`${id}.json`, `${id}.csv`])
      await unlink(join(directory, file)).catch((error: NodeJS.ErrnoException) => {
        if (error.code !== 'ENOENT') throw invalid(`cannot delete ${file} (${error.code})`);
      });
  return ids.length;
}

/** Namespace and time range of an experiment, including its whole load test; null if unknown. */
export async function experimentTimes(
  directory: string,
  id: string,
): Promise<{ fromMs: number; toMs: number; namespace: string | null } | null> {
  const json = await readIfPresent(join(directory, `${id}.json`));
  let metadata: unknown;
  try {
    metadata = JSON.parse(json ?? '');
  } catch {
    return null;
  }
  if (!isObject(metadata)) return null;
  const { startedAt, durationMinutes, namespace } = circumstancesIn(metadata);
  const load = isObject(metadata['load_test']) ? metadata['load_test'] : {};
  const steadyMs = Date.parse(startedAt ?? '');
  const known = (ms: number[]) => ms.filter((each) => !Number.isNaN(each));
  const begun = known([steadyMs, Date.parse(textOr(load['start_time']) ?? '')]);
  const ended = known([steadyMs + (durationMinutes ?? 0) * 60_000, Date.parse(textOr(load['end_time']) ?? '')]);
  return begun.length === 0 ? null : { fromMs: Math.min(...begun), toMs: Math.max(...ended, ...begun), namespace };
}

/** An experiment, or the reason why it cannot be read. */
export async function experimentOrReason(directory: string, id: string): Promise<Experiment | string> {
  return loadExperiment(directory, id).catch((error: unknown) => publicText(error));
}
