import { join, resolve } from 'node:path';
import type { Config } from '#config/config.ts';
import { onlyRegistry, type RegistrySetting } from '#config/registries.ts';
import type { Clock } from '#kernel/clock.ts';
import type { Directions } from '#kernel/metric-direction.ts';
import type { Metrics } from '#kernel/metrics.ts';
import { createDrift, type Drift } from '#services/drift/drift.ts';
import type { Examine } from '#services/drift/examine-in-thread.ts';
import { createMonitoring, type Monitoring } from '#services/monitoring/monitoring.ts';
import { type Changes, createChanges } from '#services/registry/changes.ts';
import type { Events } from '#services/registry/journal/events.ts';
import { createJournal, type JournalOptions } from '#services/registry/journal/journal.ts';
import type { RegistryEvent } from '#services/registry/journal/journal-events.ts';
import type { EventStream } from '#services/registry/journal/stream.ts';
import { createSharedSnapshots } from '#services/registry/mirror/shared-snapshots.ts';
import { readGateRules } from '#services/registry/promotion/gate-rules.ts';
import { createPromotion, type Promotion } from '#services/registry/promotion/promotion.ts';
import { createRegistry, type Registry } from '#services/registry/registry.ts';
import type { AliasTable } from '#services/registry/snapshot/stages.ts';
import { openSource } from '#services/registry/sources/open-source.ts';
import { writeSample } from '#services/registry/sources/sample.ts';
import type { RegistrySource } from '#services/registry/sources/source.ts';
import { createSqliteSource } from '#services/registry/sources/sqlite-source.ts';
import { createMlflowWebhook } from '#services/registry/webhooks/mlflow-webhook.ts';
import type { Webhooks } from '#services/registry/webhooks/webhooks.ts';
import { moveVersionRows } from '#store/version-rows.ts';
import type { Frame } from './area.ts';
/** Wiring of one registry: the mirror, the monitored set, the journal, promotion checks and drift. */

/** Shared by all registries: one journal, one event stream, one set of webhooks. */
export type SharedParts = { events: Events; stream: EventStream; webhooks: Webhooks; examine: Examine };

export type RegistryParts = {
  name: string;
  registry: Registry;
  monitoring: Monitoring;
  changes: Changes;
  promotion: Promotion;
  drift: Drift;
};

/** The name of a job of one of several registries. */
export const jobOf = (job: string, name: string): string => (name === onlyRegistry ? job : `${job}:${name}`);

export async function composeOne(
  frame: Frame,
  { events, stream, webhooks, examine }: SharedParts,
  metrics: RegistryMetrics,
  setting: RegistrySetting,
): Promise<RegistryParts> {
  const { config, secrets, store } = frame;
  const { name } = setting;
  const { clock, log } = frame;
  // Runs on the leader only.
  const refreshSoon = () => store.notifier.notify('refresh', jobOf('registry-refresh', name));
  const driftSoon = () => store.notifier.notify('drift', name);
  const onEvents = (made: RegistryEvent[]) => {
    stream.publish(made);
    store.notifier.notify('outbox');
    store.notifier.notify('events');
  };
  const isShared = store.engine === 'postgres' && config.ENABLE_CACHE;
  const shared = isShared ? createSharedSnapshots(store, name, log) : null;
  const options = { ...registryOptions(frame, metrics, setting), shared };
  const source = () => options.source?.fingerprint ?? '';
  const { enqueue } = webhooks;
  const move: JournalOptions['move'] = (transaction, moves) => moveVersionRows(transaction, name, moves);
  const journal = createJournal({ store, registry: name, source, clock, log, enqueue, move, onEvents });
  // Mutual dependency: the mirror rereads runs of monitored versions, monitoring looks models up in the mirror.
  let monitoring: Monitoring | null = null;
  const registry = await createRegistry({
    ...options,
    onReachabilityChange: refreshSoon,
    onSwap: async (snapshot, poll) => {
      await journal.record(snapshot, poll);
      if (journal.isUncertain()) refreshSoon();
      if (poll.names === null) driftSoon();
    },
    journalError: () => journal.lastError(),
    monitored: async () => (await monitoring?.keys()) ?? new Set(),
    monitoredCount: async () => (await monitoring?.count()) ?? 0,
  });
  // Monitored versions of the sample data are kept apart from those of a real registry.
  const storeName = () => (registry.status().origin === 'sample' ? 'sample' : name);
  monitoring = createMonitoring({ store, mirror: registry, registry: storeName, clock, onChange: driftSoon });
  const { refreshModel, status } = registry;
  const mlflowWebhook = createMlflowWebhook({ secret: secrets.webhookSecret, store, clock, log, refreshModel });
  const only = secrets.registries.length > 1 ? name : null;
  const common = { points: registry, registry: storeName, monitored: monitoring.keys, examine, store, clock, log };
  return {
    name,
    registry,
    monitoring,
    changes: createChanges({ registry: storeName, only, status, events, stream, webhooks, mlflowWebhook }),
    promotion: createPromotion({
      ...registry,
      ...(await promotionOptions(config)),
      monitored: monitoring.keys,
      now: clock.now,
    }),
    drift: createDrift({ ...common, ...driftOptions(config), enqueue: webhooks.enqueueDrift }),
  };
}

const directionsOf = (config: Config): Directions => ({
  higher: new Set(lowerCase(config.METRICS_HIGHER_IS_BETTER)),
  lower: new Set(lowerCase(config.METRICS_LOWER_IS_BETTER)),
});

const driftOptions = (config: Config) => ({
  rules: {
    directions: directionsOf(config),
    minChangePct: config.DRIFT_MIN_CHANGE_PCT,
    minChange: config.DRIFT_MIN_CHANGE,
    warningP: config.DRIFT_WARNING_P,
  },
  levels: { warningP: config.DRIFT_WARNING_P, driftP: config.DRIFT_P },
  evaluationTags: { model: config.EVALUATION_MODEL_TAG, version: config.EVALUATION_VERSION_TAG },
});

async function promotionOptions(config: Config) {
  return {
    directions: directionsOf(config),
    rules: config.GATE_RULES_FILE === undefined ? [] : await readGateRules(config.GATE_RULES_FILE),
    ownerTags: lowerCase(config.OWNER_TAGS),
    staleAfterDays: config.HYGIENE_STALE_DAYS,
    aliasTable: aliasTableOf(config),
  };
}

export type RegistryMetrics = ReturnType<typeof registryMetrics>;

/** Metrics that all registries count together. */
export const registryMetrics = ({ counter, histogram }: Metrics) => ({
  mlflowSeconds: histogram({
    name: 'tower_mlflow_request_duration_seconds',
    help: 'Latency of calls to MLflow, by endpoint and status (0 = no answer)',
    labels: ['endpoint', 'status'],
    buckets: [0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30],
  }),
  refreshSeconds: histogram({
    name: 'tower_registry_refresh_duration_seconds',
    help: 'Duration of a refresh of the registry mirror',
    buckets: [0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 120, 300],
  }),
  refreshes: counter({
    name: 'tower_registry_refreshes_total',
    help: 'Refreshes of the registry mirror, by outcome',
    labels: ['outcome'],
  }),
});

function registryOptions(frame: Frame, metrics: RegistryMetrics, setting: RegistrySetting) {
  const { config, clock, log } = frame;
  const source = configuredSource(frame, metrics, setting);
  const persists = source !== null && config.ENABLE_CACHE && config.ENABLE_CACHE_PERSISTENCE;
  return {
    source,
    openSample: source === null || config.ENABLE_MOCK_DATA ? async () => openSample(config, clock) : null,
    cachePath: persists ? join(config.CACHE_DIRECTORY, `registry-${source.fingerprint}.jsonl`) : null,
    aliasTable: aliasTableOf(config),
    timeoutMs: config.CACHE_TIMEOUT_SECONDS * 1000,
    maxAgeMs: config.CACHE_MAX_AGE_HOURS * 3_600_000,
    rereadEvery: config.CACHE_REREAD_FINISHED_RUNS_EVERY,
    // Without a cache there is no confirmed state to serve.
    massDeletionShare: config.ENABLE_CACHE ? config.MASS_DELETION_PCT / 100 : 1,
    cacheEnabled: config.ENABLE_CACHE,
    firstReadMs: config.MLFLOW_TIMEOUT_SECONDS * 1000,
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

function configuredSource(
  { config, secrets, clock, random }: Frame,
  metrics: RegistryMetrics,
  setting: RegistrySetting,
): RegistrySource | null {
  const { uri } = setting;
  if (uri === undefined) return null;
  return openSource({
    uri,
    user: setting.user,
    password: setting.password,
    token: setting.token,
    workspace: setting.workspace,
    caPath: config.MLFLOW_TRACKING_SERVER_CERT_PATH,
    clientCertPath: config.MLFLOW_TRACKING_CLIENT_CERT_PATH,
    insecureTls: config.MLFLOW_TRACKING_INSECURE_TLS,
    timeoutMs: config.MLFLOW_TIMEOUT_SECONDS * 1000,
    maxRetries: config.MLFLOW_MAX_RETRIES,
    linkRoots: config.MLFLOW_FILE_ROOTS,
    proxies: secrets.proxies,
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

export const aliasTableOf = (config: Config): AliasTable => ({
  Production: lowerCase(config.STAGE_ALIASES_PRODUCTION),
  Staging: lowerCase(config.STAGE_ALIASES_STAGING),
  Archived: lowerCase(config.STAGE_ALIASES_ARCHIVED),
});

const lowerCase = (words: string[]): string[] => words.map((word) => word.toLowerCase());
