import { constants } from 'node:fs';
import { access, mkdir, statfs } from 'node:fs/promises';
import { cpus, freemem, totalmem } from 'node:os';
import { publicText } from '#kernel/errors.ts';
import { namesIn } from '#kernel/files.ts';
import { listExperiments } from './experiments/experiments.ts';
import type { ExperimentJob } from './experiments/job-schemas.ts';
import type { KubernetesClient } from './kubernetes/client.ts';
import type { List, Pod } from './kubernetes/objects.ts';
import { workloadsOf } from './kubernetes/workloads.ts';
import type {
  CollectionAnswer,
  CollectionStatus,
  HealthAnswer,
  PrometheusStatus,
  SystemHealth,
} from './overview-schemas.ts';

/** Health of everything that collection, experiments and training depend on, and their progress. */

type Deps = {
  client: KubernetesClient | null;
  testConnection: (signal?: AbortSignal) => Promise<PrometheusStatus>;
  jobs: () => Promise<ExperimentJob[]>;
  /** Trained models; a damaged one has an error. */
  models: () => Promise<{ service: string; error: string | null }[]>;
  directory: string;
};

/** `isHealthy`: null if it is not configured, which is no fault. */
type CheckResult = { isHealthy: boolean | null; detail: string };

export function createOverview(deps: Deps) {
  const { directory } = deps;
  /** Since the previous request, or since the start. */
  let ticks = tick();
  const health = async (): Promise<HealthAnswer> => {
    const [kubernetes, prometheus, data_pipeline, ml_pipeline] = await Promise.all([
      checkCluster(deps.client),
      checkPrometheus(deps),
      checkDirectory(directory),
      checkModels(deps),
    ]);
    const checks = { kubernetes, prometheus, data_pipeline, ml_pipeline };
    const entries = Object.entries(checks);
    return {
      status: entries.every(([, { isHealthy }]) => isHealthy !== false) ? 'healthy' : 'unhealthy',
      checks: of(entries, ({ isHealthy }) => isHealthy) as HealthAnswer['checks'],
      details: of(entries, ({ detail }) => detail) as HealthAnswer['details'],
    };
  };
  return {
    /** The documented `health_check`. Never throws. */
    health,
    /** The documented `check_system_health`. Never throws. */
    system: async (namespace: string): Promise<SystemHealth> => {
      const { status, checks, details } = await health();
      const before = ticks;
      ticks = tick();
      const cluster = wordOf(checks.kubernetes, 'running');
      return {
        // Names of checks that a namespace may also have keep their meaning.
        [namespace.replaceAll('-', '_')]: await countsOf(checks.kubernetes ? deps.client : null, namespace),
        minikube: cluster,
        kubernetes: cluster,
        prometheus: wordOf(checks.prometheus, 'ready'),
        system_resources: await resourcesOf(directory, before, ticks),
        overall_status: status,
        details,
      };
    },
    /** The documented `monitor_data_collection`. @throws TowerError `invalid` for a directory that cannot be read */
    collection: () => collectionOf(deps),
    /** The documented `status`. @throws TowerError `invalid` for a directory that cannot be read */
    status: async (service: string | undefined): Promise<CollectionStatus> => ({
      system_status: (await health()).status,
      ...(await servicesOf(deps, service)),
    }),
  };
}

async function collectionOf(deps: Deps): Promise<CollectionAnswer> {
  const [jobs, files] = await Promise.all([deps.jobs(), filesOf(deps.directory)]);
  const running = jobs.filter(({ status }) => status === 'running');
  const etas = running.flatMap(({ progress }) => progress?.eta_seconds ?? []);
  const newest = running[0] ?? jobs[0];
  return {
    process_running: running.length > 0,
    process_id: running.length > 0 ? process.pid : null,
    ...files,
    experiments_completed: (await finishedIn(deps.directory)).length,
    estimated_completion: etas.length === 0 ? null : durationText(Math.max(...etas)),
    errors_detected: newest?.result?.failed_experiments ?? newest?.progress?.failed ?? 0,
    jobs: jobs.filter(({ status }) => status === 'running' || status === 'queued').map(({ id }) => id),
  };
}

async function servicesOf(deps: Deps, service: string | undefined): Promise<Omit<CollectionStatus, 'system_status'>> {
  const [jobs, models, files, ids] = await Promise.all([
    deps.jobs(),
    deps.models(),
    filesOf(deps.directory),
    finishedIn(deps.directory),
  ]);
  const open = jobs.filter((job) => job.status === 'running' || job.status === 'queued');
  const underWay = new Set(open.flatMap(({ services }) => services));
  const trained = new Set(models.filter(({ error }) => error === null).map((model) => model.service));
  const counts = new Map<string, number>();
  // Service names contain no underscore.
  for (const id of ids) counts.set(id.split('_')[0]!, (counts.get(id.split('_')[0]!) ?? 0) + 1);
  const names = [...new Set([...counts.keys(), ...trained, ...underWay])].sort();
  const wanted = service === undefined ? names : [service];
  return {
    services: Object.fromEntries(
      wanted.map((name) => {
        const experiments = counts.get(name) ?? 0;
        const newest = jobs.find(({ services }) => services.includes(name));
        const done = newest && !isWhole(newest, name) ? 'incomplete' : experiments > 0 ? 'completed' : 'not_started';
        const state = underWay.has(name) ? 'in_progress' : done;
        return [name, { status: state, experiments, models_trained: trained.has(name) }];
      }),
    ),
    data_collection: {
      total_csv_files: files.csv_files,
      total_json_files: files.json_files,
      in_progress: open.length > 0,
    },
  };
}

const isWhole = ({ status, result }: ExperimentJob, service: string): boolean =>
  status === 'succeeded' && !result?.failures.some(({ experiment_id }) => experiment_id.startsWith(`${service}_`));

/** Experiments that have both of their files. */
async function finishedIn(directory: string): Promise<string[]> {
  const ids = await listExperiments(directory);
  const files = new Set(await namesIn(directory));
  return ids.filter((id) => files.has(`${id}.json`));
}

const of = <Value, Result>(entries: [string, Value][], pick: (value: Value) => Result): Record<string, Result> =>
  Object.fromEntries(entries.map(([name, value]) => [name, pick(value)]));

const wordOf = (isHealthy: boolean | null, word: 'running' | 'ready') =>
  isHealthy === null ? 'not configured' : isHealthy ? word : 'unreachable';

/** Health checks do not wait for retries. */
const checkMs = 5_000;

async function checkCluster(client: KubernetesClient | null): Promise<CheckResult> {
  if (!client) return { isHealthy: null, detail: 'KUBERNETES_CONFIG is not set' };
  try {
    const call = { method: 'GET' as const, path: '/version' };
    const { gitVersion } = await client.call<{ gitVersion?: string }>(call, AbortSignal.timeout(checkMs));
    return { isHealthy: true, detail: `reachable, version ${gitVersion ?? 'unknown'}` };
  } catch (error) {
    if ((error as Error).name === 'TimeoutError')
      return { isHealthy: false, detail: `no answer within ${checkMs / 1000} s` };
    return { isHealthy: false, detail: publicText(error) };
  }
}

async function checkPrometheus({ testConnection }: Deps): Promise<CheckResult> {
  const { configured, reachable, version, error } = await testConnection(AbortSignal.timeout(checkMs));
  if (!configured) return { isHealthy: null, detail: 'PROMETHEUS_URL is not set' };
  return {
    isHealthy: reachable,
    detail: reachable ? `reachable, version ${version ?? 'unknown'}` : (error ?? 'unreachable'),
  };
}

async function checkDirectory(directory: string): Promise<CheckResult> {
  try {
    await mkdir(directory, { recursive: true });
    await access(directory, constants.R_OK | constants.W_OK);
    return { isHealthy: true, detail: 'the directory of experiments is readable and writable' };
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    return { isHealthy: false, detail: `the directory of experiments is not readable and writable (${code})` };
  }
}

async function checkModels({ models }: Deps): Promise<CheckResult> {
  try {
    const all = await models();
    const damaged = all.filter(({ error }) => error !== null).map(({ service }) => service);
    if (damaged.length > 0) return { isHealthy: false, detail: `damaged models: ${damaged.join(', ')}` };
    return { isHealthy: true, detail: all.length === 1 ? '1 model' : `${all.length} models` };
  } catch (error) {
    return { isHealthy: false, detail: publicText(error) };
  }
}

async function countsOf(client: KubernetesClient | null, namespace: string) {
  const unknown = { pods_running: null, services_available: null };
  if (!client) return unknown;
  try {
    const [pods, workloads] = await Promise.all([
      client.call<List<Pod>>({ method: 'GET', path: `/api/v1/namespaces/${namespace}/pods` }),
      workloadsOf(client, namespace),
    ]);
    return {
      pods_running: pods.items.filter(({ status }) => status?.phase === 'Running').length,
      services_available: workloads.filter(({ ready_replicas }) => ready_replicas > 0).length,
    };
  } catch {
    // The check of the cluster reports the reason.
    return unknown;
  }
}

const percent = (share: number): string => `${(100 * share).toFixed(1)}%`;
type Ticks = { idle: number; total: number };
const tick = (): Ticks => {
  const all = cpus().map(({ times }) => times);
  const idle = all.reduce((sum, times) => sum + times.idle, 0);
  return { idle, total: all.reduce((sum, t) => sum + t.user + t.nice + t.sys + t.idle + t.irq, 0) };
};

/** Of this machine; its CPU over a short interval. */
async function resourcesOf(directory: string, before: Ticks, after: Ticks): Promise<SystemHealth['system_resources']> {
  const total = after.total - before.total;
  const disk = await statfs(directory).catch(() => null);
  return {
    cpu_usage: total > 0 ? percent(1 - (after.idle - before.idle) / total) : null,
    memory_usage: percent(1 - freemem() / totalmem()),
    disk_usage: disk && disk.blocks > 0 ? percent(1 - disk.bavail / disk.blocks) : null,
  };
}

async function filesOf(directory: string): Promise<{ csv_files: number; json_files: number }> {
  // Its error says which setting names the directory.
  await listExperiments(directory);
  const names = await namesIn(directory);
  const count = (end: string) => names.filter((name) => name.endsWith(end)).length;
  return { csv_files: count('.csv'), json_files: count('.json') };
}

/** The duration in words, as in the documented API. */
function durationText(seconds: number): string {
  const units = { minutes: 60, hours: 3600, days: 86_400 };
  const unit = seconds < 5400 ? 'minutes' : seconds < 129_600 ? 'hours' : 'days';
  return `${Number((seconds / units[unit]).toPrecision(3))} ${unit}`;
}
