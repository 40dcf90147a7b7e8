import type {
  Counter as CounterType,
  Gauge as GaugeType,
  Histogram as HistogramType,
  Registry as RegistryType,
} from 'prom-client';
import { Counter, Gauge, Histogram, Registry } from './prom-client-parts.ts';

/** The instance's own metrics, rendered as Prometheus text 0.0.4 or OpenMetrics 1.0. */
export type Metrics = ReturnType<typeof createMetrics>;

type Sample = { value: number | null; of?: Record<string, string> };
/** A gauge read at each scrape: one value per set of labels; null = no sample. */
export type GaugeReading = {
  name: string;
  help: string;
  labels?: string[];
  read: () => Sample[] | Promise<Sample[]>;
};

/** Fields of prom-client's metrics that its types leave out. */
type DescribedMetric = { name: string; type: string; labelNames: readonly string[]; help: string };

type Named<Label extends string> = { name: string; help: string; labels?: readonly Label[] };

export function createMetrics(version: string) {
  const text = new Registry();
  const registers = [text];
  let defaults: Promise<void> | null = null;
  const build = { name: 'tower_build_info', help: 'Version of the server; always 1', labelNames: ['version'] };
  new Gauge({ ...build, registers }).set({ version }, 1);

  return {
    httpSeconds: new Histogram({
      name: 'tower_http_request_duration_seconds',
      help: 'Request latency by route, method and status',
      labelNames: ['method', 'route', 'status'] as const,
      buckets: [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5],
      registers,
    }),
    jobRuns: new Counter({
      name: 'tower_job_runs_total',
      help: 'Runs of background jobs, by outcome',
      labelNames: ['job', 'outcome'] as const,
      registers,
    }),
    ...metricFactories(registers),
    /** Adds a gauge that is read at each scrape. */
    watch: ({ name, help, labels = [], read }: GaugeReading): void => {
      new Gauge({
        name,
        help,
        labelNames: labels,
        registers,
        async collect() {
          this.reset();
          // A gauge whose read fails has no sample; the rest of the page is unaffected.
          const samples = await Promise.resolve()
            .then(read)
            .catch(() => []);
          for (const { value, of = {} } of samples) if (value !== null) this.set(of, value);
        },
      });
    },
    /** Name, type, labels and meaning of every metric except those of Node.js. */
    describe: () => descriptionsOf(text),
    /** The metrics page for an Accept header, with its content type. */
    render: async (accept: string): Promise<{ contentType: string; body: string }> => {
      await (defaults ??= addDefaults(text));
      if (!accept.includes('application/openmetrics-text')) {
        return { contentType: text.contentType, body: await text.metrics() };
      }
      // Rendering as OpenMetrics renames counters permanently, so each page is rendered from stand-in objects that
      // delegate everything but the name to the real metric.
      const open = openMetricsRegistry();
      for (const metric of text.getMetricsAsArray()) open.registerMetric(Object.create(metric as object) as never);
      return { contentType: open.contentType, body: await open.metrics() };
    },
  };
}

function descriptionsOf(register: RegistryType) {
  const all = register.getMetricsAsArray() as unknown as DescribedMetric[];
  return all.map(({ name, type, labelNames, help }) => ({ name, type, labels: labelNames, help }));
}

/** Factories for the metrics that areas register. */
function metricFactories(registers: RegistryType[]) {
  const named = <Label extends string>({ labels = [], ...rest }: Named<Label>) => ({
    ...rest,
    labelNames: labels,
    registers,
  });
  return {
    counter: <Label extends string = never>(metric: Named<Label>): CounterType<Label> => new Counter(named(metric)),
    gauge: <Label extends string = never>(metric: Named<Label>): GaugeType<Label> => new Gauge(named(metric)),
    /** @param metric.buckets - upper bounds in the unit that ends the name */
    histogram: <Label extends string = never>(metric: Named<Label> & { buckets: number[] }): HistogramType<Label> =>
      new Histogram(named(metric)),
  };
}

/** Node.js process metrics; collected from the first scrape on. */
async function addDefaults(register: RegistryType): Promise<void> {
  const { collectDefaultMetrics } = await import('prom-client');
  collectDefaultMetrics({ register });
  // Gauges whose names end in _total, a suffix that Prometheus reserves for counters.
  for (const name of ['handles', 'requests', 'resources']) register.removeSingleMetric(`nodejs_active_${name}_total`);
}

function openMetricsRegistry(): RegistryType<typeof RegistryType.OPENMETRICS_CONTENT_TYPE> {
  const registry = new Registry<typeof RegistryType.OPENMETRICS_CONTENT_TYPE>();
  registry.setContentType(Registry.OPENMETRICS_CONTENT_TYPE);
  return registry;
}
