import { hostname } from 'node:os';
import type { MirrorStatus } from '../services/registry/mirror.ts';
import type { Config } from './config.ts';
import { type Clock, isoTime } from './kernel/clock.ts';
import type { JobState } from './kernel/jobs.ts';

/** What the tower says about itself. */
export type System = ReturnType<typeof createSystem>;

type SystemDeps = {
  config: Config;
  version: string;
  clock: Clock;
  authentication: boolean;
  user: string | null;
  registryStatus: () => MirrorStatus;
  jobStates: () => JobState[];
  metricsPage: (accept: string) => Promise<{ contentType: string; body: string }>;
};

export function createSystem(deps: SystemDeps) {
  const { config, version, clock, registryStatus } = deps;
  const startedAt = clock.now();
  return {
    root: () => ({
      message: 'Control Tower API',
      status: registryStatus().snapshot ? ('ready' as const) : ('starting' as const),
      version,
      docs: '/docs',
    }),
    /** Whether there is a snapshot to answer from. */
    isReady: () => registryStatus().snapshot !== null,
    health: () => healthOf(deps, startedAt),
    configSummary: () => ({
      mlflow: {
        tracking_uri: config.MLFLOW_TRACKING_URI ?? null,
        authentication: deps.authentication,
        workspace: config.MLFLOW_WORKSPACE ?? null,
      },
      api: { host: config.API_HOST, port: config.API_PORT, version },
      features: {
        mock_data_enabled: config.ENABLE_MOCK_DATA,
        debug_endpoints_enabled: config.ENABLE_DEBUG_ENDPOINTS,
        cache_enabled: config.ENABLE_CACHE,
        cache_persistence_enabled: config.ENABLE_CACHE_PERSISTENCE,
      },
      // A tower with an invalid port or log level does not start, so these two are true of every one that answers.
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
    }),
    metricsPage: deps.metricsPage,
  };
}

function healthOf({ version, clock, user, registryStatus, jobStates }: SystemDeps, startedAt: number) {
  const { snapshot, origin, connection, stale, ageMs, lastError, sourceLabel } = registryStatus();
  return {
    status: statusOf(registryStatus()),
    mlflow_connection: connection,
    experiments_count: snapshot?.experiments.length ?? null,
    timestamp: new Date(clock.now()).toISOString(),
    data_source: origin,
    notice: origin === 'sample' ? noticeOf(connection) : null,
    source: sourceLabel,
    mlflow_version: snapshot?.rows.serverVersion ?? null,
    mlflow_user: user,
    models_count: snapshot?.versions.length ?? null,
    last_refresh: isoTime(snapshot?.readAt ?? null),
    cache_age_seconds: ageMs === null ? null : Math.floor(ageMs / 1000),
    stale,
    last_error: lastError,
    version,
    host: hostname(),
    uptime_seconds: Math.floor((clock.now() - startedAt) / 1000),
    jobs: jobStates().map((job) => ({
      name: job.name,
      status: job.status,
      last_finished_at: isoTime(job.lastFinishedAt),
      last_error: job.lastError,
      next_run_at: isoTime(job.nextRunAt),
    })),
  };
}

const noticeOf = (connection: MirrorStatus['connection']): string =>
  connection === 'not_configured'
    ? 'This is sample data. Set MLFLOW_TRACKING_URI to mirror your own registry.'
    : 'MLflow cannot be reached: this is sample data, shown until it answers (ENABLE_MOCK_DATA=true).';

function statusOf({ snapshot, stale, connection, origin }: MirrorStatus) {
  if (!snapshot) return connection === 'disconnected' ? ('degraded' as const) : ('starting' as const);
  // Sample data in the place of a registry that was asked for is never healthy.
  const standIn = origin === 'sample' && connection !== 'not_configured';
  return stale || standIn ? ('degraded' as const) : ('healthy' as const);
}
