import { availableParallelism } from 'node:os';
import { type Acquisition, createAcquisition } from '../services/acquisition/acquisition.ts';
import { createKubernetesClient } from '../services/acquisition/kubernetes/client.ts';
import { metricQueries } from '../services/acquisition/metric-queries.ts';
import type { NoteOutcome } from '../services/rightsizing/apply-jobs.ts';
import type { Forecaster } from '../services/rightsizing/forecast-demand.ts';
import { createRightsizing, type Rightsizing, rightsizingWorker } from '../services/rightsizing/rightsizing.ts';
import type { Tools } from './compose-registry.ts';
import { type Config, experimentsFolderOf, type Secrets } from './config.ts';
import type { Clock } from './kernel/clock.ts';
import { readNamedFile } from './kernel/files.ts';
import { authorization, createHttpClient, type HttpClient } from './kernel/http-client.ts';
import type { Releaser } from './kernel/lifecycle.ts';
import { createWorkerPool } from './kernel/worker-pool.ts';
import type { Queue } from './store/queue.ts';

/** Load tests, for commands that need no tower. Loaded when they are asked for. */
export async function loadTools() {
  const [scenario, { jmeterPlan }, { k6Script }, { judgeJtl }, generator, jmeter, { stringify }] = await Promise.all([
    import('../services/acquisition/load/scenario.ts'),
    import('../services/acquisition/load/jmeter.ts'),
    import('../services/acquisition/load/k6.ts'),
    import('../services/acquisition/load/results.ts'),
    import('../services/acquisition/load/generator.ts'),
    import('../services/acquisition/load/jmeter-run.ts'),
    import('yaml'),
  ]);
  const asYaml = (value: object): string => stringify(value).trimEnd();
  return { ...scenario, ...generator, ...jmeter, asYaml, jmeterPlan, k6Script, judgeJtl };
}

/** Configurations of experiments, for commands; loaded when they are asked for. */
export async function experimentConfigs() {
  const [{ loadConfig, shippedConfig }, { stringify }] = await Promise.all([
    import('../services/acquisition/experiment-config.ts'),
    import('yaml'),
  ]);
  const asYaml = (value: object): string => stringify(value).trimEnd();
  return { load: loadConfig, shipped: shippedConfig, asYaml };
}

/** What of the rest of the tower it needs. */
type Parts = {
  queue: Queue;
  models: () => Promise<{ service: string; error: string | null }[]>;
  forecaster: Forecaster;
  audit: NoteOutcome;
};

/** What asks clusters, and what sizes by it. @throws TowerError `invalid` for files that settings name and that break a rule */
export async function composeRightsizing(
  config: Config,
  secrets: Secrets,
  tools: Tools,
  parts: Parts,
  releaser: Releaser,
) {
  const acquisition = await composeAcquisition(config, secrets, tools, parts, releaser);
  return { acquisition, rightsizing: composeSizing(config, acquisition, tools, parts, releaser) };
}

/** What asks Prometheus. @throws TowerError `invalid` for files that settings name and that break a rule */
async function composeAcquisition(
  config: Config,
  secrets: Secrets,
  tools: Tools,
  { queue, models, audit }: Parts,
  releaser: Releaser,
): Promise<Acquisition> {
  const { clock, log, metrics } = tools;
  const file = readNamedFile('PROMETHEUS_QUERIES_FILE', config.PROMETHEUS_QUERIES_FILE) ?? null;
  const acquisition = createAcquisition({
    http: prometheusClient(config, secrets, tools),
    queries: await metricQueries(
      config.PROMETHEUS_PRESET,
      config.PROMETHEUS_MESH,
      file,
      config.PROMETHEUS_SELECTOR ?? '',
      { cadvisor: config.PROMETHEUS_CADVISOR_SELECTOR, kubeState: config.PROMETHEUS_KSM_SELECTOR },
    ),
    scrapeMs: config.PROMETHEUS_SCRAPE_SECONDS * 1000,
    clock,
    experimentsFolder: experimentsFolderOf(config),
    kubernetes: kubernetesClient(config, clock),
    models,
    queue,
    audit,
    targets: config.LOAD_TARGETS,
    jmeter: config.JMETER_HOME === undefined ? null : { home: config.JMETER_HOME, java: config.JMETER_JAVA },
    log,
    onExperiment: (event) => {
      if (event === 'job') return metrics.moraFailures.set(0);
      if (event === 'begin') return metrics.moraActive.inc();
      metrics.moraActive.dec();
      metrics.moraOutcomes.inc({ outcome: event });
      if (event === 'failed') metrics.moraFailures.inc();
    },
  });
  releaser.defer('Prometheus', () => acquisition.stop());
  return acquisition;
}

/** Null where no cluster is configured. @throws TowerError `invalid` for a file that is not there */
function kubernetesClient(config: Config, clock: Clock) {
  if (config.KUBERNETES_CONFIG === undefined) return null;
  if (config.KUBERNETES_CONFIG !== 'in-cluster') readNamedFile('KUBERNETES_CONFIG', config.KUBERNETES_CONFIG);
  return createKubernetesClient({
    config: config.KUBERNETES_CONFIG,
    context: config.KUBERNETES_CONTEXT,
    timeoutMs: config.KUBERNETES_TIMEOUT_SECONDS * 1000,
    clock,
  });
}

/** Recommendations, on threads of their own. */
function composeSizing(
  config: Config,
  acquisition: Acquisition,
  { clock, log, metrics }: Tools,
  { queue, forecaster, audit }: Parts,
  releaser: Releaser,
): Rightsizing {
  const threads = config.FORECAST_WORKERS || Math.max(1, availableParallelism() - 1);
  const pool = createWorkerPool(rightsizingWorker, { threads, queue: config.FORECAST_QUEUE });
  releaser.defer('rightsizing threads', () => pool.close());
  return createRightsizing({
    history: acquisition.history,
    cluster: acquisition.cluster,
    forecaster,
    queue,
    audit,
    onApplied: (outcome, target, reason) => {
      metrics.applied.inc({ outcome });
      log.info({ ...target, outcome, reason }, 'applying a recommendation has ended');
    },
    pool,
    prices: {
      currency: config.PRICE_CURRENCY,
      cpuCoreHour: config.PRICE_CPU_CORE_HOUR,
      memoryGibHour: config.PRICE_MEMORY_GIB_HOUR,
    },
    bounds: {
      minCpuCores: config.RIGHTSIZING_MIN_CPU_CORES,
      minMemoryBytes: config.RIGHTSIZING_MIN_MEMORY_MIB * 2 ** 20,
      maxCpuCores: config.RIGHTSIZING_MAX_CPU_CORES || undefined,
      maxMemoryBytes: config.RIGHTSIZING_MAX_MEMORY_MIB * 2 ** 20 || undefined,
    },
    timeoutMs: config.FORECAST_TIMEOUT_SECONDS * 1000,
    clock,
  });
}

/** An answer is read whole: a thousand steps of some thousand series. */
const mostOfPrometheus = 128 * 2 ** 20;

/** Null where none is configured. */
function prometheusClient(config: Config, secrets: Secrets, { clock, random, metrics }: Tools): HttpClient | null {
  if (config.PROMETHEUS_URL === undefined) return null;
  const ca = readNamedFile('PROMETHEUS_CA_PATH', config.PROMETHEUS_CA_PATH);
  const headers = authorization(config.PROMETHEUS_USERNAME, secrets.prometheusPassword, secrets.prometheusToken);
  if (config.PROMETHEUS_TENANT) headers['x-scope-orgid'] = config.PROMETHEUS_TENANT;
  return createHttpClient({
    baseUrl: config.PROMETHEUS_URL.replace(/\/+$/, ''),
    serverName: 'Prometheus',
    headers,
    tls: { insecure: config.PROMETHEUS_INSECURE_TLS, ...(ca ? { ca } : {}) },
    maxInFlight: 8,
    timeoutMs: config.PROMETHEUS_TIMEOUT_SECONDS * 1000,
    maxAnswerBytes: mostOfPrometheus,
    maxRetries: config.PROMETHEUS_MAX_RETRIES,
    clock,
    random,
    onCall: ({ path, status, seconds }) =>
      metrics.prometheusSeconds.observe({ endpoint: path.replace('/api/v1/', ''), status }, seconds),
  });
}
