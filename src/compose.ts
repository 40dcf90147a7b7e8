import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { createAccess } from '../services/access/access.ts';
import type { Analytics } from '../services/analytics/analytics.ts';
import { createForecast, forecastWorker } from '../services/forecast/forecast.ts';
import { createTraining } from '../services/forecast/training.ts';
import { createEstate } from '../services/registry/estate.ts';
import type { Services } from './app.ts';
import { analyticsJobs, composeAnalytics } from './compose-analytics.ts';
import {
  aliasTableOf,
  composeRegistry,
  composeShared,
  jobOf,
  prune,
  type RegistryParts,
  type SharedParts,
  type Tools,
} from './compose-registry.ts';
import type { Config, Secrets } from './config.ts';
import { watchGauges } from './gauges.ts';
import { type Clock, systemClock } from './kernel/clock.ts';
import { invalid } from './kernel/errors.ts';
import { type Job, type JobState, type Jobs, startJobs } from './kernel/jobs.ts';
import { createReleaser, type Releaser } from './kernel/lifecycle.ts';
import { createLog, type RootLog } from './kernel/log.ts';
import { createMetrics, type Metrics } from './kernel/metrics.ts';
import { createOutbound } from './kernel/outbound.ts';
import type { Random } from './kernel/rng.ts';
import { createWorkerPool } from './kernel/worker-pool.ts';
import { backupStore, restoreStore, verifyStore } from './store/backup.ts';
import { openMasterKey } from './store/master-key.ts';
import { openMetricStore, openStore, type Store } from './store/store.ts';
import { createSystem } from './system.ts';

/** What a test replaces. */
export type Overrides = { clock?: Clock; random?: Random; log?: RootLog };

export type Tower = {
  services: Services;
  outbox: SharedParts['outbox'];
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
  const tools = {
    clock: overrides.clock ?? systemClock,
    random: overrides.random ?? Math.random,
    log: overrides.log ?? createLog(config.LOG_LEVEL, config.LOG_FORMAT),
    metrics: createMetrics(version),
  };
  const releaser = createReleaser(tools.log);
  try {
    return await build(config, secrets, version, tools, releaser);
  } catch (error) {
    await releaser.stop();
    throw error;
  }
}

async function build(
  config: Config,
  secrets: Secrets,
  version: string,
  tools: Tools,
  releaser: Releaser,
): Promise<Tower> {
  const { clock, log, metrics } = tools;
  const { store, deriveKey, outbound, access } = openFoundation(config, secrets, clock);
  releaser.defer('store', () => store.close());
  releaser.defer('outbound', () => outbound.close());
  let jobs: Jobs | null = null;
  const foundation = { config, secrets, store, outbound, deriveKey, tools };
  const shared = composeShared(foundation);
  const calls = { nudge: (name: string) => jobs?.nudge(name), wake: (name: string) => jobs?.wake(name) };
  const all: RegistryParts[] = [];
  for (const setting of secrets.registries) {
    const parts = await composeRegistry(foundation, shared, setting, calls);
    releaser.defer(`registry ${setting.name}`, () => parts.registry.stop());
    await parts.registry.start();
    all.push(parts);
  }
  watchGauges(metrics, all, shared);
  releaser.defer('jobs', () => jobs?.stop());
  // Undone first: a job that waits for a server in trouble must not hold up the stop.
  for (const { name, registry } of all) releaser.defer(`reads of ${name}`, () => registry.abort());
  const [first] = all;
  if (!first) throw new Error('no registry is configured');
  const system = createSystem({
    config,
    version,
    clock,
    registries: all.map(({ name, registry }, i) => ({ name, user: secrets.registries[i]?.user ?? null, registry })),
    authentication: secrets.registries.some(({ password, token }) => password !== undefined || token !== undefined),
    jobStates: () => jobs?.states() ?? [],
    metricsPage: metrics.render,
  });
  const forecasting = composeForecast(config, version, tools, releaser);
  const analytics = composeAnalytics(config, clock, releaser, forecasting.forecast);
  const parts = { access, analytics, ...forecasting };
  const estate = all.length > 1 ? createEstate(all, config.MAX_MODELS_RETURNED, aliasTableOf(config)) : null;
  return {
    services: { ...parts, webhooks: shared.webhooks, system, ...first, registries: all, estate },
    outbox: shared.outbox,
    metrics,
    log,
    clock,
    startJobs: () => {
      // After the first answers: it is the first to need the query builder.
      clock
        .sleep(1_000)
        .then(() => access.audit.begin())
        .catch((error: unknown) => log.error({ err: error }, 'the audit log could not be begun'));
      const onRun = (state: JobState) => recordRun(store, metrics, log, state);
      jobs = startJobs(jobTable(config, all, shared, analytics, clock), { ...tools, onRun });
    },
    stop: () => releaser.stop(),
  };
}

/** Forecasts and trained models, on threads of their own; the event loop keeps a core where there is more than one. */
function composeForecast(config: Config, version: string, { clock, log }: Tools, releaser: Releaser) {
  const threads = config.FORECAST_WORKERS || Math.max(1, availableParallelism() - 1);
  const pool = createWorkerPool(forecastWorker, { threads, queue: config.FORECAST_QUEUE });
  const build = config.FORECAST_KERNELS;
  // Training has a thread of its own: it takes long, and forecasts must not wait for it.
  const trainingPool = createWorkerPool(forecastWorker, { threads: 1, queue: config.FORECAST_QUEUE });
  const training = createTraining({
    pool: trainingPool,
    experimentsFolder: config.EXPERIMENTS_DIRECTORY ?? join(config.DATA_DIRECTORY, 'experiments'),
    modelsFolder: join(config.DATA_DIRECTORY, 'models'),
    build,
    engine: config.FORECAST_ENGINE,
    buffers: [
      config.RECOMMENDATION_BUFFER_CPU,
      config.RECOMMENDATION_BUFFER_MEMORY,
      config.RECOMMENDATION_BUFFER_REPLICAS,
    ],
    version,
    clock,
    log,
  });
  releaser.defer('forecast threads', () => pool.close());
  releaser.defer('training thread', () => trainingPool.close());
  releaser.defer('training', () => training.stop());
  return { forecast: createForecast({ pool, timeoutMs: config.FORECAST_TIMEOUT_SECONDS * 1000, build }), training };
}

/** Keys alone, or keys and tokens. @throws TowerError `invalid` for settings that do not fit together */
function doorOptions(config: Config, secrets: Secrets) {
  const { AUTH_ENABLED: required, JWT_ISSUER: issuer, JWT_JWKS_URL: jwksUrl } = config;
  const wantsTokens = jwksUrl !== undefined || secrets.jwtSecret !== undefined;
  if (!wantsTokens) return { required, tokens: null };
  if (issuer === undefined)
    throw invalid('JWT_ISSUER must be set where JWT_JWKS_URL or JWT_HS256_SECRET is: whose tokens are taken?', {
      parameter: 'JWT_ISSUER',
    });
  const rest = { audience: config.JWT_AUDIENCE, skewSeconds: config.JWT_CLOCK_SKEW_SECONDS };
  return { required, tokens: { secret: secrets.jwtSecret, jwksUrl, issuer, ...rest } };
}

/**
 * The store and the door, which stand without a registry: enough for commands that work on the data folder itself.
 * @throws TowerError `unavailable` for a store that cannot be opened
 */
export function openFoundation(config: Config, secrets: Secrets, clock: Clock = systemClock) {
  const door = doorOptions(config, secrets);
  const store = openStore(config.DATA_DIRECTORY);
  const deriveKey = openMasterKey(config.DATA_DIRECTORY, secrets.masterKey);
  const outbound = createOutbound({
    allowed: config.OUTBOUND_ALLOWED_HOSTS,
    timeoutMs: config.WEBHOOK_TIMEOUT_SECONDS * 1000,
    maxBytes: 65_536,
  });
  return { store, deriveKey, outbound, access: createAccess({ ...door, store, clock, outbound, deriveKey }) };
}

/** Every background job there is. */
function jobTable(
  config: Config,
  all: RegistryParts[],
  shared: SharedParts,
  analytics: Analytics,
  clock: Clock,
): Job[] {
  // All registries share what is pruned, so one of them does it for all.
  const prunes = async () => all[0] && prune(config, clock.now(), shared, all[0]);
  return [
    ...all.flatMap((parts) => jobsOf(config, parts)),
    {
      // Woken by every promise; by itself for what is to be tried again.
      name: 'outbox',
      intervalMs: 10_000,
      timeoutMs: 10 * minute,
      firstAfterMs: 1_000,
      step: (signal) => shared.outbox.step(signal),
    },
    ...analyticsJobs(analytics),
    { name: 'prune', intervalMs: 360 * minute, timeoutMs: minute, firstAfterMs: 10 * minute, step: prunes },
  ];
}

const minute = 60_000;

/** The jobs of one registry. */
function jobsOf(config: Config, { name, registry, drift }: RegistryParts): Job[] {
  return [
    {
      name: jobOf('registry-refresh', name),
      intervalMs: config.CACHE_REFRESH_INTERVAL_MINUTES * minute,
      timeoutMs: config.CACHE_TIMEOUT_SECONDS * 1000 + 10_000,
      // With a snapshot at hand there is no hurry: the first requests come first.
      firstAfterMs: registry.status().snapshot ? 1_000 : 0,
      step: () => registry.refresh(),
    },
    {
      name: jobOf('registry-ping', name),
      intervalMs: minute,
      timeoutMs: 10_000,
      firstAfterMs: minute,
      step: (signal) => registry.ping(signal),
    },
    {
      name: jobOf('run-count', name),
      intervalMs: Math.max(config.CACHE_REFRESH_INTERVAL_MINUTES, 1) * minute,
      timeoutMs: 30 * minute,
      firstAfterMs: 2_000,
      step: (signal) => registry.countRuns(signal),
    },
    {
      name: jobOf('drift', name),
      intervalMs: Math.max(config.CACHE_REFRESH_INTERVAL_MINUTES, 1) * minute,
      timeoutMs: 10 * minute,
      firstAfterMs: 5_000,
      step: (signal) => drift.sweep(signal),
    },
  ];
}

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

/** Copies of the data folder, for commands that work on it. */
export const storeCopies = { backupStore, restoreStore, verifyStore };

/** Opens both databases, which brings them to this program's schema, and closes them. @throws TowerError as `openStore` */
export async function migrateStore(directory: string): Promise<void> {
  for (const open of [openStore, openMetricStore]) await open(directory).close();
}
