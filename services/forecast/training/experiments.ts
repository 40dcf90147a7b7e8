import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { readCsv } from '#kernel/csv.ts';
import { invalid, notFound, publicText } from '#kernel/errors.ts';
import { namesIn, readIfPresent } from '#kernel/files.ts';
import { readNumbers } from '#kernel/number-column.ts';

/** Reads load experiments for training: one CSV of steps and one JSON of metadata each. */

/** Features of each step, in this order. The first two are settings of the experiment. */
export const features = [
  'replica_count',
  'load_users',
  'cpu_cores_value',
  'mem_bytes_value',
  'net_rx_bytes_value',
  'net_tx_bytes_value',
  'pod_restarts_value',
  'replica_count_value',
  'node_cpu_util_value',
  'node_mem_util_value',
  'network_activity_rate_value',
  'processing_intensity_value',
  'service_stability_value',
  'resource_pressure_value',
] as const;

/** Targets: CPU in cores, memory in bytes, replicas. */
export const targets = ['cpu_cores_value', 'mem_bytes_value', 'replica_count_value'] as const;

/** `values`: rows × features, row-major, without gaps. `successRate`: of its load test, 0 to 1; null if unknown. */
export type Experiment = {
  id: string;
  scenario: string;
  replicas: number;
  users: number;
  rows: number;
  values: Float64Array;
  successRate: number | null;
};

export type TrainingData = { service: string; experiments: Experiment[]; notes: string[] };

const fileName = /^(?<service>.+)_(?<scenario>[a-z]+)_replicas_(?<replicas>\d+)_users_(?<users>\d+)\.csv$/;

/**
 * All experiments of a service, by name. Unusable files, and experiments whose load test failed if there are others,
 * are left out and listed in the notes.
 * @throws TowerError `not_found` without experiments, `invalid` for an invalid service name
 */
export async function loadTrainingData(directory: string, service: string): Promise<TrainingData> {
  checkServiceName(service);
  const names = await namesIn(directory);
  const files = names.filter((name) => fileName.exec(name)?.groups?.['service'] === service).sort();
  const notes: string[] = [];
  const experiments: Experiment[] = [];
  for (const name of files) {
    try {
      experiments.push(await readExperiment(directory, name, notes));
    } catch (error) {
      notes.push(`${name} was skipped: ${publicText(error)}`);
    }
  }
  if (experiments.length === 0)
    throw notFound(`no experiments of ${service} in EXPERIMENTS_DIRECTORY`, {
      service,
      ...(notes.length > 0 ? { notes } : {}),
    });
  const succeeded = experiments.filter(({ successRate }) => successRate === null || successRate >= 0.95);
  const failed = experiments.length - succeeded.length;
  // Without any others they are used, with a note.
  const isLeftOut = failed > 0 && succeeded.length > 0;
  if (failed > 0)
    notes.push(
      `in ${failed} of ${experiments.length} experiments less than 95 % of the load test’s requests succeeded: the service had less load than stated${isLeftOut ? '; they were skipped' : ''}`,
    );
  return { service, experiments: isLeftOut ? succeeded : experiments, notes };
}

/** Names become parts of paths. */
export function checkServiceName(service: string): void {
  if (!/^[A-Za-z0-9](?:[\w-]{0,251}[A-Za-z0-9])?$/.test(service))
    throw invalid('a service name must consist of letters, digits, - and _', { parameter: 'service' });
}

async function readExperiment(directory: string, name: string, notes: string[]): Promise<Experiment> {
  const { scenario = '', replicas, users } = fileName.exec(name)?.groups ?? {};
  const { rows, delimiter } = readCsv(await readFile(join(directory, name), 'utf8'));
  if (rows.length === 0) throw invalid('it has no rows');
  const absent = features.filter((feature) => !(feature in rows[0]!));
  if (absent.length > 0) throw invalid(`missing columns: ${absent.join(', ')}`);
  const values = new Float64Array(rows.length * features.length);
  for (const [column, feature] of features.entries()) {
    const cells = rows.map((row) => row[feature]!.trim());
    const { values: numbers } = readNumbers(
      cells.map((cell) => (isMissing(cell) ? '' : cell)),
      feature,
      null,
      delimiter === ',',
    );
    const known = fillGaps(numbers.map((value) => value ?? Number.NaN));
    if (!known) {
      if (targets.some((target) => target === feature)) throw invalid(`${feature} is empty`);
      notes.push(`${name}: ${feature} is empty`);
    }
    for (let row = 0; row < rows.length; row += 1) values[row * features.length + column] = known?.[row] ?? 0;
  }
  const successRate = await successRateOf(join(directory, name.replace(/csv$/, 'json')));
  return {
    id: name.slice(0, -4),
    scenario,
    replicas: Number(replicas),
    users: Number(users),
    rows: rows.length,
    values,
    successRate,
  };
}

/** The collector writes infinity from a division by zero unchanged. */
const isMissing = (cell: string): boolean => /^([+-]?(nan|inf(inity)?))?$/i.test(cell);

/** Fills gaps with the previous value, at the start with the next one; null if there is no value at all. */
function fillGaps(values: number[]): number[] | null {
  const first = values.find((value) => !Number.isNaN(value));
  if (first === undefined) return null;
  let last = first;
  return values.map((value) => (last = Number.isNaN(value) ? last : value));
}

/** Success rate of the load test, 0 to 1, from its counts. */
async function successRateOf(file: string): Promise<number | null> {
  const text = await readIfPresent(file);
  if (text === null) return null;
  try {
    const { load_test } = JSON.parse(text) as {
      load_test?: { total_requests?: unknown; successful_requests?: unknown };
    };
    const [all, good] = [Number(load_test?.total_requests), Number(load_test?.successful_requests)];
    return all > 0 && Number.isFinite(good) ? good / all : null;
  } catch {
    return null;
  }
}
