import { join, resolve } from 'node:path';
import { createDashboard, type Dashboard } from '../services/dashboard/dashboard.ts';
import { createDrift, type Drift } from '../services/drift/drift.ts';
import { createMonitoring, type Monitoring } from '../services/monitoring/monitoring.ts';
import { type Changes, createChanges } from '../services/registry/changes.ts';
import { createEvents, type Events } from '../services/registry/events.ts';
import { readGateRules } from '../services/registry/gate-rules.ts';
import { createJournal, type RegistryEvent } from '../services/registry/journal.ts';
import { createJudgement, type Judgement } from '../services/registry/judgement.ts';
import { createMlflowWebhook } from '../services/registry/mlflow-webhook.ts';
import { openSource } from '../services/registry/open-source.ts';
import { createRegistry, type Registry } from '../services/registry/registry.ts';
import { writeSample } from '../services/registry/sample.ts';
import { createSharedSnapshots } from '../services/registry/shared-snapshots.ts';
import type { RegistrySource } from '../services/registry/source.ts';
import { createSqliteSource } from '../services/registry/sqlite-source.ts';
import type { AliasTable } from '../services/registry/stages.ts';
import { createEventStream, type EventStream } from '../services/registry/stream.ts';
import { webhookSender } from '../services/registry/webhook-sender.ts';
import { createWebhooks, type Webhooks } from '../services/registry/webhooks.ts';
import type { Config, Secrets } from './config.ts';
import type { Clock } from './kernel/clock.ts';
import type { RootLog } from './kernel/log.ts';
import type { Directions } from './kernel/metric-direction.ts';
import type { Metrics } from './kernel/metrics.ts';
import type { Outbound } from './kernel/outbound.ts';
import type { Random } from './kernel/rng.ts';
import { onlyRegistry, type RegistrySetting } from './registries.ts';
import type { DeriveKey } from './store/master-key.ts';
import { createOutbox, type Outbox } from './store/outbox.ts';
import type { Store } from './store/store.ts';

/** The registry's part of the composition root: the mirror, the monitored set, the journal and who is told of it. */

export type Foundation = {
  config: Config;
  secrets: Secrets;
  store: Store;
  outbound: Outbound;
  deriveKey: DeriveKey;
  tools: Tools;
};
/** What all registries have in common: one journal to read, one outbox, one set of receivers. */
export type SharedParts = { events: Events; stream: EventStream; outbox: Outbox; webhooks: Webhooks };

/** What each registry has for itself. */
export type RegistryParts = {
  name: string;
  registry: Registry;
  monitoring: Monitoring;
  changes: Changes;
  judgement: Judgement;
  drift: Drift;
  dashboard: Dashboard;
};

const dayMs = 86_400_000;

export function composeShared({ config, store, outbound, deriveKey, tools }: Foundation): SharedParts {
  const { clock, random, log, metrics } = tools;
  const events = createEvents(store);
  const outbox = createOutbox({
    store,
    clock,
    random,
    log,
    senders: { webhook: webhookSender({ store, outbound, deriveKey, clock }) },
    maxAttempts: config.WEBHOOK_MAX_ATTEMPTS,
    onAttempt: (outcome) => metrics.deliveries.inc({ outcome }),
  });
  const stream = createEventStream({ events, clock, maxClients: config.STREAM_MAX_CLIENTS });
  return { events, stream, outbox, webhooks: createWebhooks({ store, outbox, outbound, deriveKey, clock }) };
}

/** The name of a job of one of several registries. */
export const jobOf = (job: string, name: string): string => (name === onlyRegistry ? job : `${job}:${name}`);

export async function composeRegistry(
  { config, secrets, store, tools }: Foundation,
  { events, stream, webhooks }: SharedParts,
  setting: RegistrySetting,
): Promise<RegistryParts> {
  const { name } = setting;
  const { clock, log } = tools;
  // Whichever tower leads reads it.
  const refreshSoon = () => store.bell.ring('refresh', jobOf('registry-refresh', name));
  const onEvents = (made: RegistryEvent[]) => {
    stream.publish(made);
    store.bell.ring('outbox');
    store.bell.ring('events');
  };
  const isShared = store.engine === 'postgres' && config.ENABLE_CACHE;
  const shared = isShared ? createSharedSnapshots(store, name, log) : null;
  const options = { ...registryOptions(config, setting, tools), shared };
  const source = () => options.source?.fingerprint ?? '';
  const journal = createJournal({ store, registry: name, source, clock, log, promise: webhooks.promise, onEvents });
  // The two need each other: the mirror reads the runs of monitored versions again, monitoring asks what there is.
  let monitoring: Monitoring | null = null;
  const registry = await createRegistry({
    ...options,
    onNews: refreshSoon,
    onSwap: async (snapshot, look) => {
      await journal.record(snapshot, look);
      if (journal.isUncertain()) refreshSoon();
    },
    journalError: () => journal.lastError(),
    monitoredRunIds: async () => (await monitoring?.runIds()) ?? new Set(),
    monitoredCount: async () => (await monitoring?.count()) ?? 0,
  });
  // What is watched among sample data has nothing to do with a real registry of the same tower.
  const storeName = () => (registry.status().origin === 'sample' ? 'sample' : name);
  monitoring = createMonitoring({ store, mirror: registry, registry: storeName, clock });
  const { refreshModel, status } = registry;
  const mlflowWebhook = createMlflowWebhook({ secret: secrets.webhookSecret, store, clock, log, refreshModel });
  const only = secrets.registries.length > 1 ? name : null;
  const given = { registry: storeName, monitored: monitoring.keys, store, clock, log };
  return {
    name,
    registry,
    monitoring,
    changes: createChanges({ registry: storeName, only, status, events, stream, webhooks, mlflowWebhook }),
    judgement: createJudgement({
      ...registry,
      ...(await judgementOptions(config)),
      monitored: monitoring.keys,
      now: clock.now,
    }),
    drift: createDrift({ points: registry, ...given, ...driftOptions(config) }),
    dashboard: createDashboard({ registry, monitoring }),
  };
}

/** Forgets events, observations and deliveries that are older than the settings allow. */
export async function prune(
  config: Config,
  now: number,
  { events, outbox }: SharedParts,
  { drift }: RegistryParts,
): Promise<void> {
  await events.prune(now, config.EVENTS_RETENTION_DAYS, config.EVENTS_MAX_CHATTER);
  await drift.prune(now - config.OBSERVATIONS_RETENTION_DAYS * dayMs);
  await outbox.prune(now - Math.min(config.EVENTS_RETENTION_DAYS, 30) * dayMs);
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

async function judgementOptions(config: Config) {
  return {
    directions: directionsOf(config),
    rules: config.GATE_RULES_FILE === undefined ? [] : await readGateRules(config.GATE_RULES_FILE),
    ownerTags: lowerCase(config.OWNER_TAGS),
    staleAfterDays: config.HYGIENE_STALE_DAYS,
    aliasTable: aliasTableOf(config),
  };
}

export type Tools = { clock: Clock; random: Random; log: RootLog; metrics: Metrics };

function registryOptions(config: Config, setting: RegistrySetting, { clock, random, log, metrics }: Tools) {
  const source = configuredSource(config, setting, { clock, random, log, metrics });
  const persists = source !== null && config.ENABLE_CACHE && config.ENABLE_CACHE_PERSISTENCE;
  return {
    source,
    openSample: source === null || config.ENABLE_MOCK_DATA ? async () => openSample(config, clock) : null,
    cachePath: persists ? join(config.CACHE_DIRECTORY, `registry-${source.fingerprint}.jsonl`) : null,
    aliasTable: aliasTableOf(config),
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

function configuredSource(
  config: Config,
  setting: RegistrySetting,
  { clock, random, metrics }: Tools,
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
