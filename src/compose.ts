import { randomUUID } from 'node:crypto';
import { availableParallelism, hostname } from 'node:os';
import { join } from 'node:path';
import { type Access, createAccess } from '../services/access/access.ts';
import { createForecast, forecastWorker } from '../services/forecast/forecast.ts';
import { createSharedModels } from '../services/forecast/shared-models.ts';
import { createTraining } from '../services/forecast/training.ts';
import { createEstate } from '../services/registry/estate.ts';
import type { NoteOutcome } from '../services/rightsizing/apply-jobs.ts';
import type { Services } from './app.ts';
import { type Background, createBackground } from './background.ts';
import { composeAnalytics } from './compose-analytics.ts';
import {
  aliasTableOf,
  composeRegistry,
  composeShared,
  type Foundation,
  type RegistryParts,
  type SharedParts,
  type Tools,
} from './compose-registry.ts';
import { composeRightsizing } from './compose-rightsizing.ts';
import { type Config, experimentsFolderOf, type Secrets } from './config.ts';
import { watchGauges } from './gauges.ts';
import { type Clock, systemClock } from './kernel/clock.ts';
import { invalid } from './kernel/errors.ts';
import { createReleaser, type Releaser } from './kernel/lifecycle.ts';
import { createLog, type RootLog } from './kernel/log.ts';
import { createMetrics, type Metrics } from './kernel/metrics.ts';
import { createOutbound } from './kernel/outbound.ts';
import type { Random } from './kernel/rng.ts';
import { createWorkerPool } from './kernel/worker-pool.ts';
import { backupStore, restoreStore, verifyPostgres, verifyStore } from './store/backup.ts';
import { openMasterKey, requireSameKey } from './store/master-key.ts';
import { createQueue, type Queue } from './store/queue.ts';
import { openMetricStore, openStore, type Place } from './store/store.ts';
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
  const { store, deriveKey, outbound, access } = await openFoundation(config, secrets, clock);
  releaser.defer('store', () => store.close());
  releaser.defer('outbound', () => outbound.close());
  const tower = nameOfThis();
  const queue = createQueue({ store, tower, clock, log });
  let background: Background | null = null;
  const foundation = { config, secrets, store, outbound, deriveKey, tools };
  const shared = composeShared(foundation);
  const all = await composeRegistries(foundation, shared, releaser);
  watchGauges(metrics, all, shared, () => background?.cluster() ?? nobodyYet);
  const first = all[0]!;
  const system = composeSystem(foundation, version, all, () => background, tower);
  const forecasting = composeForecast(foundation, queue, version, releaser);
  const analytics = await composeAnalytics(config, placeOf(config, secrets), clock, releaser, forecasting.forecast);
  const { models } = forecasting.training;
  const needed = { queue, models, forecaster: forecasting.forecast, audit: auditOfJobs(access, log) };
  const sizing = await composeRightsizing(config, secrets, tools, needed, releaser);
  // Undone before what its jobs work on.
  releaser.defer('queue', () => queue.stop());
  releaser.defer('background jobs', () => background?.stop());
  // Undone first: a job that waits for a server in trouble must not hold up the stop.
  for (const { name, registry } of all) releaser.defer(`reads of ${name}`, () => registry.abort());
  const estate = all.length > 1 ? createEstate(all, config.MAX_MODELS_RETURNED, aliasTableOf(config)) : null;
  const shown = { access, analytics, webhooks: shared.webhooks, system, registries: all, estate };
  return {
    services: { ...forecasting, ...sizing, ...first, ...shown },
    outbox: shared.outbox,
    metrics,
    log,
    clock,
    startJobs: () => {
      beginAudit(access, clock, log);
      background = createBackground({
        config,
        store,
        tower,
        queue,
        registries: all,
        shared,
        analytics,
        acquisition: sizing.acquisition,
        tools,
      });
    },
    stop: () => releaser.stop(),
  };
}

function composeSystem(
  { config, secrets, store, tools: { clock, metrics } }: Foundation,
  version: string,
  all: RegistryParts[],
  background: () => Background | null,
  tower: string,
) {
  return createSystem({
    config,
    version,
    clock,
    registries: all.map(({ name, registry }, i) => ({ name, user: secrets.registries[i]?.user ?? null, registry })),
    authentication: secrets.registries.some(({ password, token }) => password !== undefined || token !== undefined),
    jobStates: () => background()?.states() ?? [],
    cluster: () => ({ tower, store: store.engine, ...(background()?.cluster() ?? nobodyYet) }),
    metricsPage: metrics.render,
  });
}

async function composeRegistries(
  foundation: Foundation,
  shared: SharedParts,
  releaser: Releaser,
): Promise<RegistryParts[]> {
  const all: RegistryParts[] = [];
  for (const setting of foundation.secrets.registries) {
    const parts = await composeRegistry(foundation, shared, setting);
    releaser.defer(`registry ${setting.name}`, () => parts.registry.stop());
    await parts.registry.start();
    all.push(parts);
  }
  return all;
}

/** After the first answers: it is the first to need the query builder. */
function beginAudit(access: Access, clock: Clock, log: RootLog): void {
  clock
    .sleep(1_000)
    .then(() => access.audit.begin())
    .catch((error: unknown) => log.error({ err: error }, 'the audit log could not be begun'));
}

/** What a job changes is written down as what a request changes; where that cannot be, nothing is undone for it. */
const auditOfJobs =
  (access: Access, log: RootLog): NoteOutcome =>
  async ({ action, job, target, details }) =>
    access.audit
      .record({
        phase: 'done',
        actor: 'control-tower',
        via: 'job',
        address: '',
        action,
        target,
        details,
        status: null,
        requestId: job,
      })
      .catch((error: unknown) => log.error({ err: error, action, job }, 'a change could not be written down'));

/** How this tower is called among those over one store: never as another one was. */
const nameOfThis = (): string => `${hostname()}-${process.pid}-${randomUUID().slice(0, 8)}`;

const nobodyYet = { store_error: null, leads: false, leader: null };

/** Forecasts and trained models, on threads of their own; the event loop keeps a core where there is more than one. */
function composeForecast({ config, store, tools }: Foundation, queue: Queue, version: string, releaser: Releaser) {
  const { clock, log } = tools;
  const threads = config.FORECAST_WORKERS || Math.max(1, availableParallelism() - 1);
  const pool = createWorkerPool(forecastWorker, { threads, queue: config.FORECAST_QUEUE });
  const build = config.FORECAST_KERNELS;
  // Training has a thread of its own: it takes long, and forecasts must not wait for it.
  const trainingPool = createWorkerPool(forecastWorker, { threads: 1, queue: config.FORECAST_QUEUE });
  const modelsFolder = join(config.DATA_DIRECTORY, 'models');
  const training = createTraining({
    pool: trainingPool,
    experimentsFolder: experimentsFolderOf(config),
    modelsFolder,
    queue,
    shared: store.engine === 'postgres' ? createSharedModels(store, modelsFolder) : null,
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
export async function openFoundation(config: Config, secrets: Secrets, clock: Clock = systemClock) {
  const door = doorOptions(config, secrets);
  if (secrets.databaseUrl !== undefined && secrets.masterKey === undefined)
    throw invalid(
      'TOWER_SECRET_KEY must be set where DATABASE_URL is: all towers over one database sign with it. For one that was begun in a folder it is what stands in its tower.key',
      { parameter: 'TOWER_SECRET_KEY' },
    );
  const store = await openStore(placeOf(config, secrets));
  const deriveKey = openMasterKey(config.DATA_DIRECTORY, secrets.masterKey);
  if (store.engine === 'postgres')
    await requireSameKey(store, deriveKey).catch(async (error: unknown) => {
      await store.close();
      throw error;
    });
  const outbound = createOutbound({
    allowed: config.OUTBOUND_ALLOWED_HOSTS,
    timeoutMs: config.WEBHOOK_TIMEOUT_SECONDS * 1000,
    maxBytes: 65_536,
  });
  return { store, deriveKey, outbound, access: createAccess({ ...door, store, clock, outbound, deriveKey }) };
}

export { experimentConfigs, loadTools } from './compose-rightsizing.ts';

/** Copies of the data folder, for commands that work on it. */
export const storeCopies = { backupStore, restoreStore, verifyPostgres, verifyStore };

/** Opens both databases, which brings them to this program's schema, and closes them. @throws TowerError as `openStore` */
export async function migrateStore(place: Place): Promise<void> {
  for (const open of [openStore, openMetricStore]) await (await open(place)).close();
}

/** Where the store is; both parts of it share the connections. */
export const placeOf = (config: Config, secrets: Secrets): Place => ({
  directory: config.DATA_DIRECTORY,
  databaseUrl: secrets.databaseUrl,
  connections: Math.max(1, Math.floor(config.DATABASE_CONNECTIONS / 2)),
});
