import type { Experiment } from './experiments.ts';

/** Quality grade: whether an experiment measured a service with the stated replicas and users. */

/** `high`: usable; `medium`: usable with care; `low`: does not show what it claims. */
export type Grade = 'high' | 'medium' | 'low';
export type Check = {
  name: string;
  passed: boolean;
  /** Grade of the experiment if the check fails. */
  grade: Grade;
  detail: string;
};
export type Quality = { grade: Grade; checks: Check[] };

const minSuccessRate = 0.95;
const minKnownShare = 0.8;
const maxVariation = 0.3;
const maxTrend = 0.2;
/** Time until steady state. */
const rampSeconds = 120;
/** Columns without which an experiment is useless. */
const needed = ['cpu_cores_value', 'mem_bytes_value', 'replica_count_value'];
const utilisations = ['node_cpu_util_value', 'node_mem_util_value'];

/** Step of files that do not record one. */
const usualStep = 30;

/**
 * @param stepSeconds - time between two rows, overrides the file's
 */
export function validateQuality(experiment: Experiment, stepSeconds = experiment.stepSeconds ?? usualStep): Quality {
  const steady = Math.min(experiment.rows, Math.ceil(rampSeconds / stepSeconds));
  const checks = [
    loadSucceeded(experiment),
    loadLasted(experiment),
    loadArrived(experiment),
    oneRowPerStep(experiment, stepSeconds),
    isComplete(experiment),
    checkReplicas(experiment),
    isPossible(experiment),
    isSteady(experiment, 'cpu_cores_value', steady),
    isSteady(experiment, 'mem_bytes_value', steady),
  ];
  const failed = checks.filter(({ passed }) => !passed).map(({ grade }) => grade);
  return { grade: failed.includes('low') ? 'low' : failed.includes('medium') ? 'medium' : 'high', checks };
}

const percent = (share: number): string => `${Number((100 * share).toPrecision(3))} %`;
const known = (values: Float64Array | undefined): Float64Array =>
  (values ?? new Float64Array(0)).filter((value) => Number.isFinite(value));

function loadSucceeded({ loadTest }: Experiment): Check {
  const common = { name: 'load_success', grade: 'low' as const };
  const rate = loadTest?.successRate ?? null;
  if (rate === null) return { ...common, passed: false, detail: 'nothing is known about its load test' };
  return {
    ...common,
    passed: rate >= minSuccessRate,
    detail: `${loadTest!.successful} of ${loadTest!.total} requests succeeded, ${percent(rate)}; at least ${percent(minSuccessRate)} required`,
  };
}

function loadLasted({ loadTest, durationMinutes }: Experiment): Check {
  const common = { name: 'load_duration', grade: 'low' as const };
  const seconds = loadTest?.durationSeconds ?? null;
  if (seconds === null || durationMinutes === null)
    return { ...common, passed: true, detail: 'the file has no duration' };
  return {
    ...common,
    passed: seconds >= minKnownShare * durationMinutes * 60,
    detail: `the load test ran for ${seconds.toFixed(0)} s of ${(durationMinutes * 60).toFixed(0)} s`,
  };
}

/** Rejected users send no load: the measured load was lower than stated. */
function loadArrived({ loadTest }: Experiment): Check {
  const common = { name: 'load_arrived', grade: 'low' as const };
  const { rejectedRounds = null, rounds = null } = loadTest ?? {};
  if (rejectedRounds === null || rounds === null) return { ...common, passed: true, detail: 'no users were rejected' };
  const share = rounds + rejectedRounds > 0 ? rejectedRounds / (rounds + rejectedRounds) : 0;
  return {
    ...common,
    passed: share <= 1 - minSuccessRate,
    detail: `${rejectedRounds} of ${rounds + rejectedRounds} users were rejected because of the maximum number of users, ${percent(share)}`,
  };
}

/** Concatenated series of several pods look like one series with jumps. */
function oneRowPerStep({ rows, durationMinutes }: Experiment, stepSeconds: number): Check {
  const common = { name: 'rows', grade: 'low' as const };
  if (durationMinutes === null) return { ...common, passed: rows > 0, detail: `${rows} rows` };
  const expected = (durationMinutes * 60) / stepSeconds + 1;
  const detail = `${rows} rows for ${expected.toFixed(0)} steps of ${stepSeconds} s`;
  if (rows > 1.2 * expected) return { ...common, passed: false, detail: `${detail}: several series were concatenated` };
  return { ...common, passed: rows >= minKnownShare * expected, detail };
}

function isComplete({ columns, rows }: Experiment): Check {
  const shares = Object.entries(columns).map(([name, values]) => ({
    name,
    share: rows === 0 ? 0 : known(values).length / rows,
  }));
  const absent = needed.filter((name) => !(name in columns));
  const sparse = shares.filter(({ share }) => share < minKnownShare);
  const bad = [
    ...absent.map((name) => `${name} is missing`),
    ...sparse.map(({ name, share }) => `${name} is known in ${percent(share)} of the rows`),
  ];
  const isCritical = absent.length > 0 || sparse.some(({ name }) => needed.includes(name));
  return {
    name: 'completeness',
    grade: isCritical ? 'low' : 'medium',
    passed: bad.length === 0,
    detail:
      bad.length === 0 ? `all columns are known in at least ${percent(minKnownShare)} of the rows` : bad.join(', '),
  };
}

function checkReplicas({ columns, replicas }: Experiment): Check {
  const seen = known(columns['replica_count_value']);
  const right = seen.filter((value) => value === replicas).length;
  const common = { name: 'replicas', grade: 'low' as const };
  if (seen.length === 0) return { ...common, passed: false, detail: 'the number of replicas is unknown' };
  const counts = [...new Set(seen)].sort((a, b) => a - b).join(', ');
  return {
    ...common,
    passed: right >= minKnownShare * seen.length,
    detail: `${replicas} configured; ${right} of ${seen.length} rows have that many (seen: ${counts})`,
  };
}

function isPossible({ columns }: Experiment): Check {
  const has = (name: string, wrong: (value: number) => boolean) => columns[name]?.some(wrong) === true;
  const bad = [
    ...Object.keys(columns)
      .filter((name) => has(name, (value) => Math.abs(value) === Number.POSITIVE_INFINITY))
      .map((name) => `${name} is infinite`),
    ...utilisations
      .filter((name) => has(name, (value) => value < 0 || value > 100))
      .map((name) => `${name} is not between 0 and 100 %`),
    ...['cpu_cores_value', 'mem_bytes_value']
      .filter((name) => has(name, (value) => value < 0))
      .map((name) => `${name} is negative`),
    ...(known(columns['mem_bytes_value']).length > 0 && known(columns['mem_bytes_value']).every((value) => value === 0)
      ? ['mem_bytes_value is 0 throughout']
      : []),
  ];
  return {
    name: 'plausibility',
    grade: 'medium',
    passed: bad.length === 0,
    detail: bad.length === 0 ? 'all values are plausible' : bad.join(', '),
  };
}

/**
 * Coefficient of variation, and the rise of a straight line over the whole range relative to the mean, without the
 * ramp.
 */
function isSteady({ columns }: Experiment, column: string, ramp: number): Check {
  const values = known(columns[column]?.subarray(ramp));
  const common = { name: `stability of ${column}`, grade: 'medium' as const };
  if (values.length < 3) return { ...common, passed: false, detail: 'too few values after the ramp' };
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  if (values.every((value) => value === values[0])) return { ...common, passed: true, detail: 'constant' };
  const middle = (values.length - 1) / 2;
  let [spread, along, across] = [0, 0, 0];
  for (const [i, value] of values.entries()) {
    spread += (value - mean) ** 2;
    along += (i - middle) * (value - mean);
    across += (i - middle) ** 2;
  }
  const variation = Math.sqrt(spread / (values.length - 1)) / Math.abs(mean);
  const trend = (Math.abs(along / across) * values.length) / Math.abs(mean);
  return {
    ...common,
    passed: variation <= maxVariation && trend <= maxTrend,
    detail: `varies by ${percent(variation)} (at most ${percent(maxVariation)}), moves by ${percent(trend)} (at most ${percent(maxTrend)})`,
  };
}

/** Removes impossible values and the ramp, and reports what it removed. The input is not modified. */
export function cleanExperiment(
  experiment: Experiment,
  stepSeconds = experiment.stepSeconds ?? usualStep,
): { experiment: Experiment; done: string[] } {
  const ramp = Math.min(experiment.rows, Math.ceil(rampSeconds / stepSeconds));
  const done: string[] = ramp > 0 ? [`removed the first ${ramp} rows: ramp`] : [];
  const columns = Object.entries(experiment.columns).map(([name, values]): [string, Float64Array] => {
    let removed = 0;
    const cleaned = values.slice(ramp).map((value) => {
      if (Number.isNaN(value)) return value;
      const possible =
        Number.isFinite(value) &&
        !(utilisations.includes(name) && (value < 0 || value > 100)) &&
        !(needed.includes(name) && value < 0);
      if (!possible) removed += 1;
      return possible ? value : Number.NaN;
    });
    if (removed > 0) done.push(`removed ${removed} impossible values of ${name}`);
    return [name, cleaned];
  });
  return { experiment: { ...experiment, rows: experiment.rows - ramp, columns: Object.fromEntries(columns) }, done };
}
