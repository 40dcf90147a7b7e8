import { hostname } from 'node:os';
import type { MirrorStatus } from '../services/registry/mirror.ts';
import type { Config } from './config.ts';
import { type Clock, isoTime } from './kernel/clock.ts';
import type { JobState } from './kernel/jobs.ts';

/** What the tower says about itself. */
export type System = ReturnType<typeof createSystem>;

/** A registry, and whose eyes it is seen with. */
type Watched = {
  name: string;
  user: string | null;
  registry: { status(): MirrorStatus; journalError(): string | null };
};

export type Cluster = {
  tower: string;
  store: 'sqlite' | 'postgres';
  store_error: string | null;
  leads: boolean;
  leader: string | null;
};

type SystemDeps = {
  config: Config;
  version: string;
  clock: Clock;
  authentication: boolean;
  registries: Watched[];
  jobStates: () => JobState[];
  /** Which tower this is, and which one leads. */
  cluster: () => Cluster;
  metricsPage: (accept: string) => Promise<{ contentType: string; body: string }>;
};

export function createSystem(deps: SystemDeps) {
  const { config, version, clock, registries } = deps;
  const isReady = () => registries.some(({ registry }) => registry.status().snapshot !== null);
  const startedAt = clock.now();
  return {
    root: () => ({
      message: 'Control Tower API',
      status: isReady() ? ('ready' as const) : ('starting' as const),
      version,
      docs: '/docs',
    }),
    /** Whether there is a snapshot to answer from; of several registries one is enough, the others are named in the health. */
    isReady,
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

function healthOf({ version, clock, registries, jobStates, cluster }: SystemDeps, startedAt: number) {
  const each = registries.map((item) => ({ name: item.name, ...registryHealth(item) }));
  const [first] = each;
  if (!first) throw new Error('no registry is configured');
  const { name: _, ...only } = first;
  const whole = each.length === 1 ? only : combined(each);
  const { store_error } = cluster();
  return {
    ...whole,
    status: store_error === null ? whole.status : ('degraded' as const),
    timestamp: new Date(clock.now()).toISOString(),
    version,
    host: hostname(),
    uptime_seconds: Math.floor((clock.now() - startedAt) / 1000),
    ...cluster(),
    jobs: jobStates().map((job) => ({
      name: job.name,
      status: job.status,
      last_finished_at: isoTime(job.lastFinishedAt),
      last_error: job.lastError,
      next_run_at: isoTime(job.nextRunAt),
    })),
    ...(each.length === 1 ? {} : { registries: each }),
  };
}

function registryHealth({ user, registry }: Watched) {
  const { snapshot, origin, connection, stale, ageMs, lastError, sourceLabel } = registry.status();
  return {
    status: statusOf(registry.status()),
    mlflow_connection: connection,
    experiments_count: snapshot?.experiments.length ?? null,
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
    journal_error: registry.journalError(),
  };
}

type RegistryHealth = ReturnType<typeof registryHealth> & { name: string };

/** Several registries in one word each: the worst of them, sums of what is known, the oldest age. */
function combined(each: RegistryHealth[]): ReturnType<typeof registryHealth> {
  const sum = (values: (number | null)[]) => {
    const known = values.filter((value) => value !== null);
    return known.length === 0 ? null : known.reduce((total, value) => total + value, 0);
  };
  const worst = <T>(order: readonly T[], values: T[]): T =>
    order.find((word) => values.includes(word)) ?? (values[0] as T);
  const said = (texts: (string | null)[]) => texts.filter(Boolean).join('; ') || null;
  const of = <K extends keyof RegistryHealth>(key: K) => each.map((item) => item[key]);
  return {
    status: worst(['degraded', 'starting', 'healthy'] as const, of('status')),
    mlflow_connection: worst(
      ['disconnected', 'connecting', 'not_configured', 'connected'] as const,
      of('mlflow_connection'),
    ),
    experiments_count: sum(of('experiments_count')),
    data_source: worst(['sample', 'mlflow'] as const, of('data_source')),
    notice: said(of('notice')),
    source: each.map(({ name, source }) => `${name}=${source}`).join(),
    mlflow_version: [...new Set(of('mlflow_version').filter((item) => item !== null))].join(', ') || null,
    mlflow_user: [...new Set(of('mlflow_user').filter((item) => item !== null))].join(', ') || null,
    models_count: sum(of('models_count')),
    last_refresh: of('last_refresh').includes(null)
      ? null
      : of('last_refresh').reduce(
          (oldest, item) => ((item ?? '') < (oldest ?? '') ? item : oldest),
          of('last_refresh')[0] ?? null,
        ),
    cache_age_seconds: Math.max(0, ...of('cache_age_seconds').map((item) => item ?? 0)),
    stale: of('stale').includes(true),
    last_error: said(each.map(({ name, last_error }) => last_error && `${name}: ${last_error}`)),
    journal_error: said(each.map(({ name, journal_error }) => journal_error && `${name}: ${journal_error}`)),
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
