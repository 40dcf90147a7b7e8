import { hostname } from 'node:os';
import type { Area, Frame, HealthStatus } from '#areas/area.ts';
import { isoTime, steadyMs } from '#kernel/clock.ts';
import type { JobState } from '#kernel/jobs.ts';

/** The instance's description of itself. */
export type System = ReturnType<typeof createSystem>;

type Cluster = {
  instance: string;
  store: 'sqlite' | 'postgres';
  store_error: string | null;
  leads: boolean;
  leader: string | null;
};
type Deps = { jobStates: () => JobState[]; cluster: () => Cluster };

export function createSystem(frame: Frame, areas: Area[], { jobStates, cluster }: Deps) {
  const { version, clock, metrics } = frame;
  const isReady = () => areas.every((area) => area.isReady?.() ?? true);
  const startedAt = steadyMs(clock);
  return {
    root: () => ({
      message: 'Control Tower API',
      status: isReady() ? ('ready' as const) : ('starting' as const),
      version,
      docs: '/docs',
    }),
    isReady,
    health: () => {
      const parts = areas.flatMap((area) => (area.health ? [area.health.read()] : []));
      const { instance, ...shared } = cluster();
      return {
        ...(Object.assign({}, ...parts) as Record<string, unknown>),
        status: worstOf([shared.store_error === null ? 'healthy' : 'degraded', ...parts.map((part) => part.status)]),
        timestamp: new Date(clock.now()).toISOString(),
        version,
        host: hostname(),
        uptime_seconds: Math.floor((steadyMs(clock) - startedAt) / 1000),
        tower: instance,
        ...shared,
        jobs: jobStates().map(jobInfo),
      };
    },
    configSummary: () => configSummary(frame),
    metricsPage: metrics.render,
  };
}

/** From the worst to the best. */
const statuses = ['degraded', 'starting', 'healthy'] as const satisfies HealthStatus[];
const worstOf = (given: HealthStatus[]): HealthStatus => statuses.find((status) => given.includes(status)) ?? 'healthy';

const jobInfo = (job: JobState) => ({
  name: job.name,
  status: job.status,
  last_finished_at: isoTime(job.lastFinishedAt),
  last_error: job.lastError,
  next_run_at: isoTime(job.nextRunAt),
});

const configSummary = ({ config, secrets, version }: Frame) => ({
  mlflow: {
    tracking_uri: config.MLFLOW_TRACKING_URI ?? null,
    authentication: secrets.registries.some(({ password, token }) => password !== undefined || token !== undefined),
    workspace: config.MLFLOW_WORKSPACE ?? null,
  },
  api: { host: config.API_HOST, port: config.API_PORT, version },
  features: {
    mock_data_enabled: config.ENABLE_MOCK_DATA,
    debug_endpoints_enabled: config.ENABLE_DEBUG_ENDPOINTS,
    cache_enabled: config.ENABLE_CACHE,
    cache_persistence_enabled: config.ENABLE_CACHE_PERSISTENCE,
  },
  // An instance with an invalid port or log level does not start, so these two are true of every one that answers.
  validation: {
    mlflow_configured: config.MLFLOW_TRACKING_URI !== undefined,
    api_port_valid: true,
    log_level_valid: true,
  },
  cache: {
    refresh_interval_minutes: config.CACHE_REFRESH_INTERVAL_MINUTES,
    max_age_hours: config.CACHE_MAX_AGE_HOURS,
    timeout_seconds: config.CACHE_TIMEOUT_SECONDS,
    max_models_returned: config.MAX_MODELS_RETURNED,
  },
});
