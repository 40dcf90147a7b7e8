import type { Workload } from '../prometheus/metric-queries.ts';
import { hashOf } from './anonymise.ts';
import { type Experiment, listExperiments, tryExperiment, tryTimes } from './experiments.ts';
import { cleanExperiment, type Grade, validateQuality } from './quality.ts';

/** What experiments say of a service: what each of its replicas used, under how much load. */

export type LoadPoint = {
  id: string;
  scenario: string;
  users: number;
  replicas: number;
  grade: Grade;
  /** Requests per second of each replica: its own, or those of the load test where nobody counted its own. */
  load: number;
  loadFrom: 'request_rate' | 'load_test';
  /** 95th percentile of the load test’s answers, in milliseconds; null where nobody measured. */
  latencyMs: number | null;
  /** Of each replica: 95th percentile over the steady steps, in cores. */
  cpu: number;
  /** Of each replica: the greatest of the steady steps, in bytes. */
  memory: number;
};

/**
 * Of every experiment of a service that can be learned from, in its namespace or in one nobody named. What is of low quality
 * shows something else than it says, and what could not keep up what it bears.
 */
export async function loadPoints(
  folder: string,
  { namespace, service }: Workload,
): Promise<{ points: LoadPoint[]; leftOut: number }> {
  const points: LoadPoint[] = [];
  let leftOut = 0;
  for (const id of await listExperiments(folder, service)) {
    const read = await tryExperiment(folder, id);
    if (typeof read !== 'string' && !isIn(namespace, read)) continue;
    const point = typeof read === 'string' ? null : pointOf(read);
    if (point) points.push(point);
    else leftOut += 1;
  }
  return { points, leftOut };
}

const isIn = (namespace: string, { namespace: of }: { namespace: string | null }): boolean =>
  of === null || of === namespace || of === hashOf(namespace);

/** From when to when an experiment ran, with all around it. */
export type TriedFor = { fromMs: number; toMs: number };

/** Before the load and after: replicas, and rates over some scrapes. */
const aroundMs = 5 * 60_000;

/**
 * When load experiments ran in a namespace, whichever of its services they were about: one asks the others. Known are those
 * whose files are there.
 */
export async function triedFor(folder: string, namespace: string, sinceMs: number): Promise<TriedFor[]> {
  const times = await Promise.all((await listExperiments(folder)).map((id) => tryTimes(folder, id)));
  return times.flatMap((read) => {
    // One that says nothing of where it was made was not made here.
    if (!read || read.namespace === null || !isIn(namespace, read)) return [];
    return read.toMs < sinceMs ? [] : [{ fromMs: read.fromMs - aroundMs, toMs: read.toMs + aroundMs }];
  });
}

/** Nobody knows what production would have used then. A rate has so much of the time before in it. */
export function leaveOut(
  values: Float64Array,
  { startMs, stepMs }: { startMs: number; stepMs: number },
  times: readonly TriedFor[],
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
  // Short ones are all ramp; they are of medium quality, and all there is.
  const { columns } = experiment.rows >= fewestSteps ? experiment : read;
  const known = (name: string) => (columns[`${name}_value`] ?? new Float64Array(0)).filter(Number.isFinite).sort();
  const [cpu, memory, rate] = [known('cpu_cores'), known('mem_bytes'), known('request_rate')];
  const counted = rate.length >= 0.8 * (columns['cpu_cores_value']?.length ?? 0) && rate.length > 0;
  const { loadTest } = read;
  // Ramps are in the mean of the load test, and not in what was collected.
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

/** Less than this tells no percentile. */
const fewestSteps = 10;
