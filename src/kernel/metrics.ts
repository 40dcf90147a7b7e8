import { createRequire } from 'node:module';
import type {
  Counter as CounterType,
  Gauge as GaugeType,
  Histogram as HistogramType,
  Registry as RegistryType,
} from 'prom-client';

// The package's index loads its default metrics too, and those OpenTelemetry: 80 modules nobody needs before the first scrape.
const require = createRequire(import.meta.url);
const Counter = require('prom-client/lib/counter.js') as typeof CounterType;
const Gauge = require('prom-client/lib/gauge.js') as typeof GaugeType;
const Histogram = require('prom-client/lib/histogram.js') as typeof HistogramType;
const Registry = require('prom-client/lib/registry.js') as typeof RegistryType;

/** The tower's own metrics, rendered as Prometheus text 0.0.4 or OpenMetrics 1.0. */
export type Metrics = ReturnType<typeof createMetrics>;

type Sample = { value: number | null; of?: Record<string, string> };
type Reading = { name: string; help: string; labels?: string[]; read: () => Sample[] | Promise<Sample[]> };

export function createMetrics(version: string) {
  const text = new Registry();
  const registers = [text];
  let defaults: Promise<void> | null = null;
  const build = { name: 'tower_build_info', help: 'Version of the tower; always 1', labelNames: ['version'] };
  new Gauge({ ...build, registers }).set({ version }, 1);

  return {
    ...eventMetrics(registers),
    ...collectionMetrics(registers),
    /** Adds a gauge that is read at scrape time: a value per set of labels; null = nothing to say, so no sample. */
    watch: ({ name, help, labels = [], read }: Reading): void => {
      new Gauge({
        name,
        help,
        labelNames: labels,
        registers,
        async collect() {
          this.reset();
          // Of what cannot be read now there is no sample; the rest of the page stands.
          const samples = await Promise.resolve()
            .then(read)
            .catch(() => []);
          for (const { value, of = {} } of samples) if (value !== null) this.set(of, value);
        },
      });
    },
    /** The page for an Accept header, and its content type. */
    render: async (accept: string): Promise<{ contentType: string; body: string }> => {
      await (defaults ??= addDefaults(text));
      if (!accept.includes('application/openmetrics-text')) {
        return { contentType: text.contentType, body: await text.metrics() };
      }
      // Rendering counters as OpenMetrics renames them for good, so every page is made of stand-ins: objects that
      // take everything but their own name from the metric behind them.
      const open = openMetricsRegistry();
      for (const metric of text.getMetricsAsArray()) open.registerMetric(Object.create(metric as object) as never);
      return { contentType: open.contentType, body: await open.metrics() };
    },
  };
}

/** What Node says of itself; counted from the first page on. */
async function addDefaults(register: RegistryType): Promise<void> {
  const { collectDefaultMetrics } = await import('prom-client');
  collectDefaultMetrics({ register });
  // Gauges whose names end in _total, which Prometheus reserves for counters.
  for (const name of ['handles', 'requests', 'resources']) register.removeSingleMetric(`nodejs_active_${name}_total`);
}

/** What is counted when it happens. */
function eventMetrics(registers: RegistryType[]) {
  return {
    httpSeconds: new Histogram({
      name: 'tower_http_request_duration_seconds',
      help: 'Time from request to answer, by route, method and status',
      labelNames: ['method', 'route', 'status'] as const,
      buckets: [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5],
      registers,
    }),
    mlflowSeconds: new Histogram({
      name: 'tower_mlflow_request_duration_seconds',
      help: 'Time MLflow took for one call, by endpoint and status (0 = no answer)',
      labelNames: ['endpoint', 'status'] as const,
      buckets: [0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30],
      registers,
    }),
    prometheusSeconds: new Histogram({
      name: 'tower_prometheus_request_duration_seconds',
      help: 'Time Prometheus took for one call, by endpoint and status (0 = no answer)',
      labelNames: ['endpoint', 'status'] as const,
      buckets: [0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30],
      registers,
    }),
    refreshSeconds: new Histogram({
      name: 'tower_registry_refresh_duration_seconds',
      help: 'Time of one refresh of the registry mirror',
      buckets: [0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 120, 300],
      registers,
    }),
    refreshes: new Counter({
      name: 'tower_registry_refreshes_total',
      help: 'Refreshes of the registry mirror, by outcome',
      labelNames: ['outcome'] as const,
      registers,
    }),
    deliveries: new Counter({
      name: 'tower_outbox_attempts_total',
      help: 'Attempts to deliver, by outcome; uncertain = under way when the tower ended',
      labelNames: ['outcome'] as const,
      registers,
    }),
    applied: new Counter({
      name: 'tower_recommendations_applied_total',
      help: 'Recommendations that were applied, by what came of it: applied, undone (taken back), failed',
      labelNames: ['outcome'] as const,
      registers,
    }),
    jobRuns: new Counter({
      name: 'tower_job_runs_total',
      help: 'Runs of background jobs, by outcome',
      labelNames: ['job', 'outcome'] as const,
      registers,
    }),
  };
}

/** By the names that dashboards and alerts of the seed have. */
const collectionMetrics = (registers: RegistryType[]) => ({
  moraRequests: new Counter({
    name: 'mora_requests_total',
    help: 'Requests to what collects, experiments and recommends',
    registers,
  }),
  moraSeconds: new Histogram({
    name: 'mora_request_duration_seconds',
    help: 'Time from such a request to its answer',
    buckets: [0.001, 0.01, 0.1, 0.5, 1, 5, 10, 30],
    registers,
  }),
  moraActive: new Gauge({ name: 'mora_active_experiments', help: 'Experiments under way on this tower', registers }),
  moraFailures: new Gauge({
    name: 'mora_data_collection_failures',
    help: 'How often experiments of the newest job on this tower failed; one that is tried again counts each time',
    registers,
  }),
  moraOutcomes: new Counter({
    name: 'mora_experiments_total',
    help: 'Experiments, by outcome; one that is tried again counts each time',
    labelNames: ['outcome'] as const,
    registers,
  }),
});

function openMetricsRegistry(): RegistryType<typeof RegistryType.OPENMETRICS_CONTENT_TYPE> {
  const registry = new Registry<typeof RegistryType.OPENMETRICS_CONTENT_TYPE>();
  registry.setContentType(Registry.OPENMETRICS_CONTENT_TYPE);
  return registry;
}
