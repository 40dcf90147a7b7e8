import type { Workload } from '../prometheus/workload-query.ts';
import { hashOf } from './anonymise.ts';
import { type Experiment, experimentOrReason, experimentTimes, listExperiments } from './experiments.ts';
import { cleanExperiment, type Grade, validateQuality } from './quality.ts';

/** Points of the capacity model: resource usage per replica at a given load. */

export type LoadPoint = {
  id: string;
  scenario: string;
  users: number;
  replicas: number;
  grade: Grade;
  /** Requests per second per replica: measured by the service, else by the load test. */
  load: number;
  loadFrom: 'request_rate' | 'load_test';
  /** 95th percentile of the load test's latency, in milliseconds; null if not measured. */
  latencyMs: number | null;
  /** Per replica: 95th percentile of the steady state, in cores. */
  cpu: number;
  /** Per replica: maximum of the steady state, in bytes. */
  memory: number;
};

/**
 * Points of every usable experiment of a service in the given namespace, or without a namespace. Low-quality
 * experiments and overloaded ones are left out.
 */
export async function loadPoints(
  directory: string,
  { namespace, service }: Workload,
): Promise<{ points: LoadPoint[]; leftOut: number }> {
  const points: LoadPoint[] = [];
  let leftOut = 0;
  for (const id of await listExperiments(directory, service)) {
    const read = await experimentOrReason(directory, id);
    if (typeof read !== 'string' && !isIn(namespace, read)) continue;
    const point = typeof read === 'string' ? null : pointOf(read);
    if (point) points.push(point);
    else leftOut += 1;
  }
  return { points, leftOut };
}

const isIn = (namespace: string, { namespace: of }: { namespace: string | null }): boolean =>
  of === null || of === namespace || of === hashOf(namespace);

/** Time range of an experiment, including ramps and margins. */
export type ExperimentWindow = { fromMs: number; toMs: number };

/** Margin before and after: scaling, and rates over several scrape intervals. */
const aroundMs = 5 * 60_000;

/**
 * Time ranges in which load experiments ran in a namespace. All services count, since they call each other. Only
 * experiments with files are known.
 */
export async function experimentWindows(
  directory: string,
  namespace: string,
  sinceMs: number,
): Promise<ExperimentWindow[]> {
  const times = await Promise.all((await listExperiments(directory)).map((id) => experimentTimes(directory, id)));
  return times.flatMap((read) => {
    // An experiment without a namespace was not made by this server.
    if (!read || read.namespace === null || !isIn(namespace, read)) return [];
    return read.toMs < sinceMs ? [] : [{ fromMs: read.fromMs - aroundMs, toMs: read.toMs + aroundMs }];
  });
}

/**
 * Removes samples from experiment windows: usage in production at that time is unknown. A rate also contains samples of
 * its range before.
 */
export function leaveOut(
  values: Float64Array,
  { startMs, stepMs }: { startMs: number; stepMs: number },
  times: readonly ExperimentWindow[],
  windowMs: number,
): void {
  for (const { fromMs, toMs } of times)
    values.fill(
      Number.NaN,
      Math.max(0, Math.ceil((fromMs - startMs) / stepMs)),
      Math.max(0, Math.floor((toMs + windowMs - startMs) / stepMs) + 1),
    );
}

function pointOf(read: Experiment): LoadPoint | null {
  const { grade } = validateQuality(read);
  if (grade === 'low') return null;
  const { experiment } = cleanExperiment(read);
  // Short experiments consist of ramps only; they are of medium quality, and better than nothing.
  const { columns } = experiment.rows >= minSteps ? experiment : read;
  const known = (name: string) => (columns[`${name}_value`] ?? new Float64Array(0)).filter(Number.isFinite).sort();
  const [cpu, memory, rate] = [known('cpu_cores'), known('mem_bytes'), known('request_rate')];
  const counted = rate.length >= 0.8 * (columns['cpu_cores_value']?.length ?? 0) && rate.length > 0;
  const { loadTest } = read;
  // The load test's mean includes the ramps; the collected columns do not.
  const sent = loadTest?.offered ?? loadTest?.throughput;
  const load = counted ? rate.reduce((sum, each) => sum + each, 0) / rate.length : sent;
  if (cpu.length === 0 || memory.length === 0 || load === null || load === undefined || read.replicas < 1) return null;
  return {
    id: read.id,
    scenario: read.scenario,
    users: read.users,
    replicas: read.replicas,
    grade,
    load: load / read.replicas,
    loadFrom: counted ? 'request_rate' : 'load_test',
    latencyMs: loadTest?.p95Ms ?? null,
    cpu: cpu[Math.ceil(0.95 * (cpu.length - 1))]! / read.replicas,
    memory: memory.at(-1)! / read.replicas,
  };
}

/** Minimum number of steps for a percentile. */
const minSteps = 10;
