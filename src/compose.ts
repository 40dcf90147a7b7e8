import { join, resolve } from 'node:path';
import { createDashboard } from '../services/dashboard/dashboard.ts';
import { createDrift } from '../services/drift/drift.ts';
import { createMonitoring, type Monitoring } from '../services/monitoring/monitoring.ts';
import type { Connection } from '../services/registry/mirror.ts';
import { openSource } from '../services/registry/open-source.ts';
import { createRegistry, type Registry } from '../services/registry/registry.ts';
import { writeSample } from '../services/registry/sample.ts';
import type { RegistrySource } from '../services/registry/source.ts';
import { createSqliteSource } from '../services/registry/sqlite-source.ts';
import type { AliasTable } from '../services/registry/stages.ts';
import type { Services } from './app.ts';
import type { Config, Secrets } from './config.ts';
import { type Clock, systemClock } from './kernel/clock.ts';
import { type Job, type JobState, type Jobs, startJobs } from './kernel/jobs.ts';
import { createReleaser } from './kernel/lifecycle.ts';
import { createLog, type RootLog } from './kernel/log.ts';
import { createMetrics, type Metrics } from './kernel/metrics.ts';
import type { Random } from './kernel/rng.ts';
import { openStore, type Store } from './store/store.ts';
import { createSystem } from './system.ts';

/** What a test replaces. */
export type Overrides = { clock?: Clock; random?: Random; log?: RootLog };

export type Tower = {
  services: Services;
  metrics: Metrics;
  log: RootLog;
  clock: Clock;
  /** Starts the background jobs. */
  startJobs(): void;
  stop(): Promise<void>;
};

/**
 * THE composition root: builds every part from settings and ties them together. Nothing listens yet.
 * @throws TowerError `invalid` for settings that do not fit together, `unavailable` for a store that cannot be opened
 */
export async function compose(
  config: Config,
  secrets: Secrets,
  version: string,
  overrides: Overrides = {},
): Promise<Tower> {
  const clock = overrides.clock ?? systemClock;
  const random = overrides.random ?? Math.random;
  const log = overrides.log ?? createLog(config.LOG_LEVEL, config.LOG_FORMAT);
  const metrics = createMetrics(version);
  const tools = { clock, random, log, metrics };
  const releaser = createReleaser(log);
  try {
    const store = openStore(config.DATA_DIRECTORY);
    releaser.defer('store', () => store.close());
    let jobs: Jobs | null = null;
    const refreshSoon = () => jobs?.nudge('registry-refresh');
    const { registry, monitoring } = await mirrorAndMonitoring(config, secrets, store, tools, refreshSoon);
    releaser.defer('registry', () => registry.stop());
    await registry.start();
    watchGauges(metrics, registry, monitoring);

    releaser.defer('jobs', () => jobs?.stop());
    // Undone first: a job that waits for a server in trouble must not hold up the stop.
    releaser.defer('reads', () => registry.abort());
    const system = createSystem({
      config,
      version,
      clock,
      authentication: secrets.password !== undefined || secrets.token !== undefined,
      user: config.MLFLOW_TRACKING_USERNAME ?? null,
      registryStatus: () => registry.status(),
      jobStates: () => jobs?.states() ?? [],
      metricsPage: (accept) => metrics.render(accept),
    });
    const drift = createDrift({ points: registry, clock });
    const dashboard = createDashboard({ registry, monitoring });
    return {
      services: { registry, monitoring, drift, dashboard, system },
      metrics,
      log,
      clock,
      startJobs: () => {
        jobs = startJobs(jobTable(config, registry), {
          ...tools,
          onRun: (state) => recordRun(store, metrics, log, state),
        });
      },
      stop: () => releaser.stop(),
    };
  } catch (error) {
    await releaser.stop();
    throw error;
  }
}

/** The two need each other: the mirror reads the runs of monitored versions again, monitoring asks the mirror what there is. */
async function mirrorAndMonitoring(config: Config, secrets: Secrets, store: Store, tools: Tools, onNews: () => void) {
  let monitoring: Monitoring | null = null;
  const registry = await createRegistry({
    ...registryOptions(config, secrets, tools),
    onNews,
    monitoredRunIds: async () => (await monitoring?.runIds()) ?? new Set(),
    monitoredCount: async () => (await monitoring?.count()) ?? 0,
  });
  monitoring = createMonitoring({ store, mirror: registry, clock: tools.clock });
  return { registry, monitoring };
}

/** Every background job there is. */
function jobTable(config: Config, registry: Registry): Job[] {
  const minute = 60_000;
  const refreshTimeoutMs = config.CACHE_TIMEOUT_SECONDS * 1000 + 10_000;
  return [
    {
      name: 'registry-refresh',
      intervalMs: config.CACHE_REFRESH_INTERVAL_MINUTES * minute,
      timeoutMs: refreshTimeoutMs,
      // With a snapshot at hand there is no hurry: the first requests come first.
      firstAfterMs: registry.status().snapshot ? 1_000 : 0,
      step: () => registry.refresh(),
    },
    {
      name: 'registry-ping',
      intervalMs: minute,
      timeoutMs: 10_000,
      firstAfterMs: minute,
      step: (signal) => registry.ping(signal),
    },
    {
      name: 'run-count',
      intervalMs: Math.max(config.CACHE_REFRESH_INTERVAL_MINUTES, 1) * minute,
      timeoutMs: 30 * minute,
      firstAfterMs: 2_000,
      step: (signal) => registry.countRuns(signal),
    },
  ];
}

type Tools = { clock: Clock; random: Random; log: RootLog; metrics: Metrics };

function registryOptions(config: Config, secrets: Secrets, { clock, random, log, metrics }: Tools) {
  const source = configuredSource(config, secrets, { clock, random, log, metrics });
  const persists = source !== null && config.ENABLE_CACHE && config.ENABLE_CACHE_PERSISTENCE;
  const aliasTable: AliasTable = {
    Production: lowerCase(config.STAGE_ALIASES_PRODUCTION),
    Staging: lowerCase(config.STAGE_ALIASES_STAGING),
    Archived: lowerCase(config.STAGE_ALIASES_ARCHIVED),
  };
  return {
    source,
    openSample: source === null || config.ENABLE_MOCK_DATA ? async () => openSample(config, clock) : null,
    cachePath: persists ? join(config.CACHE_DIRECTORY, `registry-${source.fingerprint}.jsonl`) : null,
    aliasTable,
    timeoutMs: config.CACHE_TIMEOUT_SECONDS * 1000,
    maxAgeMs: config.CACHE_MAX_AGE_HOURS * 3_600_000,
    rereadEvery: config.CACHE_REREAD_FINISHED_RUNS_EVERY,
    cacheEnabled: config.ENABLE_CACHE,
    maxModelsReturned: config.MAX_MODELS_RETURNED,
    readCacheMs: config.READ_CACHE_SECONDS * 1000,
    cacheDirectory: config.CACHE_DIRECTORY,
    clock,
    log,
    onRefresh: ({ ok, seconds }: { ok: boolean; seconds: number }) => {
      metrics.refreshes.inc({ outcome: ok ? 'success' : 'failure' });
      metrics.refreshSeconds.observe(seconds);
    },
  };
}

function configuredSource(config: Config, secrets: Secrets, { clock, random, metrics }: Tools): RegistrySource | null {
  const uri = config.MLFLOW_TRACKING_URI;
  if (uri === undefined) return null;
  return openSource({
    uri,
    user: config.MLFLOW_TRACKING_USERNAME,
    password: secrets.password,
    token: secrets.token,
    workspace: config.MLFLOW_WORKSPACE,
    caPath: config.MLFLOW_TRACKING_SERVER_CERT_PATH,
    clientCertPath: config.MLFLOW_TRACKING_CLIENT_CERT_PATH,
    insecureTls: config.MLFLOW_TRACKING_INSECURE_TLS,
    timeoutMs: config.MLFLOW_TIMEOUT_SECONDS * 1000,
    maxRetries: config.MLFLOW_MAX_RETRIES,
    clock,
    random,
    onCall: ({ path, status, seconds }) =>
      metrics.mlflowSeconds.observe({ endpoint: path.replace(/\/m-[0-9a-f]+$/, '/{id}'), status }, seconds),
  });
}

function openSample(config: Config, clock: Clock): RegistrySource {
  const path = resolve(config.DATA_DIRECTORY, 'sample-registry.db');
  writeSample(path, clock.now());
  return createSqliteSource(path, 'built-in sample registry', 'sample', 'default', clock);
}

function watchGauges(metrics: Metrics, registry: Registry, monitoring: Monitoring): void {
  const { watch } = metrics;
  const seconds = (ms: number | null | undefined) => (ms === null || ms === undefined ? null : ms / 1000);
  metrics.watchStages(() => registry.status().snapshot?.byStage ?? null);
  watch({ name: 'tower_monitored_models', help: 'Monitored model versions', read: () => monitoring.count() });
  watch({
    name: 'tower_registry_cache_age_seconds',
    help: 'Age of the mirror',
    read: () => seconds(registry.status().ageMs),
  });
  watch({
    name: 'tower_registry_stale',
    help: '1 when the mirror is stale',
    read: () => Number(registry.status().stale),
  });
  watch({
    name: 'tower_registry_sample_data',
    help: '1 while sample data is shown',
    read: () => Number(registry.status().origin === 'sample'),
  });
  watch({
    name: 'tower_mlflow_up',
    help: '1 when the last read of MLflow succeeded; nothing before the first',
    read: () => mlflowUp(registry.status().connection),
  });
  watch({
    name: 'tower_registry_dangling_aliases',
    help: 'Aliases whose version is gone',
    read: () => registry.status().snapshot?.danglingAliases.length ?? null,
  });
}

const mlflowUp = (connection: Connection): number | null =>
  connection === 'connected' || connection === 'disconnected' ? Number(connection === 'connected') : null;

function recordRun(store: Store, metrics: Metrics, log: RootLog, state: JobState): void {
  const outcome = state.status === 'succeeded' ? 'succeeded' : 'failed';
  metrics.jobRuns.inc({ job: state.name, outcome });
  const row = {
    name: state.name,
    last_status: outcome,
    last_started_at: new Date(state.lastStartedAt ?? 0).toISOString(),
    last_finished_at: new Date(state.lastFinishedAt ?? 0).toISOString(),
    last_error: state.lastError,
  } as const;
  store
    .db()
    .then((db) =>
      db
        .insertInto('jobs')
        .values(row)
        .onConflict((at) => at.column('name').doUpdateSet(row))
        .execute(),
    )
    .catch((error: unknown) => log.warn({ err: error, job: state.name }, 'the run of a job could not be recorded'));
}

const lowerCase = (words: string[]): string[] => words.map((word) => word.toLowerCase());
