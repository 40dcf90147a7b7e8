import type { FastifyInstance } from 'fastify';
import { experimentsDirectoryOf } from '#config/config.ts';
import { readNamedFile } from '#kernel/files.ts';
import { authorization, createHttpClient, type HttpClient } from '#kernel/http-client.ts';
import type { Metrics } from '#kernel/metrics.ts';
import { proxyFor } from '#kernel/proxies.ts';
import { acquisitionRoutes } from '#routes/acquisition.ts';
import { acquisitionJobRoutes } from '#routes/acquisition-jobs.ts';
import { acquisitionLoadRoutes } from '#routes/acquisition-load.ts';
import { acquisitionOverviewRoutes } from '#routes/acquisition-overview.ts';
import type { Access } from '#services/access/access.ts';
import { createAcquisition } from '#services/acquisition/acquisition.ts';
import { metricQueries } from '#services/acquisition/prometheus/metric-queries.ts';
import type { Area, Frame } from './area.ts';

type Needs = {
  access: Access;
  /** Trained models, for the overview. */
  models: () => Promise<{ service: string; error: string | null }[]>;
  audit: Parameters<typeof createAcquisition>[0]['audit'];
};

/**
 * Prometheus, Kubernetes and load experiments.
 * @throws TowerError `invalid` for a file named in the settings that cannot be read or breaks a rule
 */
export async function acquisitionArea(frame: Frame, { access, models, audit }: Needs) {
  const { config, queue, clock, log, defer } = frame;
  const metrics = acquisitionMetrics(frame.metrics);
  const file = readNamedFile('PROMETHEUS_QUERIES_FILE', config.PROMETHEUS_QUERIES_FILE) ?? null;
  const acquisition = createAcquisition({
    http: prometheusClient(frame, metrics.observeCall),
    queries: await metricQueries(
      config.PROMETHEUS_PRESET,
      config.PROMETHEUS_MESH,
      file,
      config.PROMETHEUS_SELECTOR ?? '',
      { cadvisor: config.PROMETHEUS_CADVISOR_SELECTOR, kubeState: config.PROMETHEUS_KSM_SELECTOR },
    ),
    scrapeMs: config.PROMETHEUS_SCRAPE_SECONDS * 1000,
    clock,
    experimentsDirectory: experimentsDirectoryOf(config),
    kubernetes: await kubernetesClient(frame),
    models,
    queue,
    audit,
    targets: config.LOAD_TARGETS,
    jmeter: config.JMETER_HOME === undefined ? null : { home: config.JMETER_HOME, java: config.JMETER_JAVA },
    log,
    onExperiment: metrics.countExperiment,
  });
  defer('Prometheus', () => acquisition.stop());
  const area: Area = {
    name: 'acquisition',
    routes: async (app) => {
      await app.register(async (scope) => {
        metrics.countRequests(scope);
        await scope.register(acquisitionRoutes, { acquisition });
        await scope.register(acquisitionOverviewRoutes, { acquisition });
        await scope.register(acquisitionJobRoutes, { acquisition, access, clock });
        await scope.register(acquisitionLoadRoutes, { acquisition, access, clock });
      });
    },
    leaderJobs: () => [
      {
        name: 'replicas-restore',
        intervalMs: 60_000,
        timeoutMs: 60_000,
        firstAfterMs: 15_000,
        step: (signal) => acquisition.jobs.restore(signal),
      },
    ],
  };
  return { acquisition, countRequests: metrics.countRequests, area };
}

/** `mora_*`: the names that MOrA's dashboards and alerts use. */
function acquisitionMetrics({ counter, gauge, histogram }: Metrics) {
  const requests = counter({
    name: 'mora_requests_total',
    help: 'Requests of the acquisition and rightsizing areas',
  });
  const seconds = histogram({
    name: 'mora_request_duration_seconds',
    help: 'Latency of requests of the acquisition and rightsizing areas',
    buckets: [0.001, 0.01, 0.1, 0.5, 1, 5, 10, 30],
  });
  const active = gauge({ name: 'mora_active_experiments', help: 'Experiments running on this instance' });
  const failures = gauge({
    name: 'mora_data_collection_failures',
    help: 'Failed experiments of the latest job on this instance; retries count separately',
  });
  const outcomes = counter({
    name: 'mora_experiments_total',
    help: 'Experiments by outcome; retries count separately',
    labels: ['outcome'],
  });
  const calls = histogram({
    name: 'tower_prometheus_request_duration_seconds',
    help: 'Latency of calls to Prometheus, by endpoint and status (0 = no answer)',
    labels: ['endpoint', 'status'],
    buckets: [0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30],
  });
  return {
    observeCall: (call: { path: string; status: number | string; seconds: number }): void =>
      calls.observe({ endpoint: call.path.replace('/api/v1/', ''), status: call.status }, call.seconds),
    /** Counts the requests to all routes that are registered on `scope` later. */
    countRequests: (scope: FastifyInstance): void => {
      scope.addHook('onResponse', (_request, reply, done) => {
        requests.inc();
        seconds.observe(reply.elapsedTime / 1000);
        done();
      });
    },
    countExperiment: (event: Parameters<Parameters<typeof createAcquisition>[0]['onExperiment']>[0]): void => {
      if (event === 'job') return failures.set(0);
      if (event === 'begin') return active.inc();
      active.dec();
      outcomes.inc({ outcome: event });
      if (event === 'failed') failures.inc();
    },
  };
}

/** Null if no cluster is configured. @throws TowerError `invalid` for a missing file */
async function kubernetesClient({ config, secrets, clock, random }: Frame) {
  if (config.KUBERNETES_CONFIG === undefined) return null;
  if (config.KUBERNETES_CONFIG !== 'in-cluster') readNamedFile('KUBERNETES_CONFIG', config.KUBERNETES_CONFIG);
  // Loaded only if a cluster is configured.
  const { createKubernetesClient } = await import('#services/acquisition/kubernetes/client.ts');
  return createKubernetesClient({
    config: config.KUBERNETES_CONFIG,
    context: config.KUBERNETES_CONTEXT,
    timeoutMs: config.KUBERNETES_TIMEOUT_SECONDS * 1000,
    namespaces: config.KUBERNETES_NAMESPACES,
    proxies: secrets.proxies,
    clock,
    random,
  });
}

/** Maximum bytes of an answer, which is read whole: a thousand steps of some thousand series. */
const maxPrometheusBytes = 128 * 2 ** 20;

/** Null if no Prometheus is configured. */
function prometheusClient(
  { config, secrets, clock, random }: Frame,
  onCall: NonNullable<Parameters<typeof createHttpClient>[0]['onCall']>,
): HttpClient | null {
  if (config.PROMETHEUS_URL === undefined) return null;
  const ca = readNamedFile('PROMETHEUS_CA_PATH', config.PROMETHEUS_CA_PATH);
  const headers = authorization(config.PROMETHEUS_USERNAME, secrets.prometheusPassword, secrets.prometheusToken);
  if (config.PROMETHEUS_TENANT) headers['x-scope-orgid'] = config.PROMETHEUS_TENANT;
  return createHttpClient({
    baseUrl: config.PROMETHEUS_URL.replace(/\/+$/, ''),
    serverName: 'Prometheus',
    headers,
    tls: { insecure: config.PROMETHEUS_INSECURE_TLS, ...(ca ? { ca } : {}) },
    proxy: proxyFor(secrets.proxies, config.PROMETHEUS_URL),
    maxInFlight: 8,
    timeoutMs: config.PROMETHEUS_TIMEOUT_SECONDS * 1000,
    maxAnswerBytes: maxPrometheusBytes,
    maxRetries: config.PROMETHEUS_MAX_RETRIES,
    clock,
    random,
    onCall,
  });
}
