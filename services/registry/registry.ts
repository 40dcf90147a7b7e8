import type { ListAnswer, Provenance, Reading } from '#kernel/answers.ts';
import { isoTime } from '#kernel/clock.ts';
import { notFound, unavailable } from '#kernel/errors.ts';
import { inTime } from '#kernel/in-time.ts';
import type { CacheInfo, CacheStats } from './cache-schemas.ts';
import { createLists } from './lists/lists.ts';
import { createMirror, type Mirror, type MirrorOptions, type MirrorStatus } from './mirror/mirror.ts';
import { createOnDemandReads } from './mirror/on-demand-reads.ts';
import { createRunCount, type RunTotal } from './mirror/run-count.ts';
import type { ModelListQuery, Run } from './schemas.ts';
import type { ModelVersion, RegisteredModel, Snapshot } from './snapshot/snapshot.ts';
import type { Stage } from './snapshot/stages.ts';
import type { MetricPoint, RunDetail, Run as RunRead } from './sources/source.ts';

export type Registry = {
  start(): Promise<void>;
  stop(): Promise<void>;
  /** Reads the source now; joins a running refresh. @throws `unavailable` if the source does not answer */
  refresh(): Promise<Snapshot>;
  /** Reads everything in a read that starts after this call, also metrics of finished runs. @throws `unavailable` */
  reread(): Promise<Snapshot>;
  /** Background step: takes over a newer snapshot of another instance. @throws `unavailable` */
  follow(): Promise<void>;
  /** Reads one model by name now. @throws `unavailable` */
  refreshModel(name: string): Promise<void>;
  /** Background step: a cheap check whether the source still answers. */
  ping(signal: AbortSignal): Promise<void>;
  /** Aborts running reads, so that shutdown need not wait for them. */
  abort(): void;
  /** The current snapshot; before the first read has ended, its result. @throws `unavailable` if it fails or takes too long */
  current(): Promise<Snapshot>;
  /** The current snapshot, without waiting; null if there is none. */
  currentIfRead(): Promise<Snapshot | null>;
  status(): MirrorStatus;
  /** Error that prevents journaling; null without one. */
  journalError(): string | null;
  provenance(): Provenance;
  /** Versions of one effective stage, or all of them. @throws `invalid` for a query that breaks a rule */
  versions(stage: Stage | null, query: ModelListQuery): Promise<ListAnswer>;
  /** The same query over a given list. */
  listVersions(versions: readonly ModelVersion[], query: ModelListQuery): Promise<ListAnswer>;
  /** @throws `not_found` */
  model(name: string): Promise<RegisteredModel>;
  experiments(query: ModelListQuery): Promise<ListAnswer>;
  /** Newest runs of an experiment. @throws `not_found`; `unavailable` if MLflow is down and they are not cached */
  runs(experimentId: string, limit: string | undefined): Promise<Reading<Run[]>>;
  /** Points of metrics of runs, read on demand and cached. */
  history(runIds: string[], metrics: string[]): Promise<Reading<MetricPoint[]>>;
  loggedModel(modelId: string): Promise<Reading<MetricPoint[]>>;
  /** Runs with params, tags and datasets; deleted ones are missing. @throws `unavailable` */
  runDetails(runIds: string[]): Promise<Reading<RunDetail[]>>;
  /** Runs that have these tags; null if the source cannot search by tag. @throws `unavailable` */
  taggedRuns(tags: Record<string, string>): Promise<Reading<RunRead[]> | null>;
  runTotal(): RunTotal;
  /** Background step: counts all runs, slowly. */
  countRuns(signal: AbortSignal): Promise<void>;
  cacheStats(): Promise<CacheStats>;
  cacheInfo(): Promise<CacheInfo>;
  /** Deletes the cache file. @returns whether there was one; null: none is written */
  clearCache(): Promise<boolean | null>;
};

type Settings = {
  cacheEnabled: boolean;
  /** Maximum wait of a request for the first read of the registry. */
  firstReadMs: number;
  maxModelsReturned: number;
  readCacheMs: number;
  cacheDirectory: string;
  monitoredCount: () => Promise<number>;
  /** Error that prevents journaling; null without one. */
  journalError?: () => string | null;
};
type Options = MirrorOptions & Settings;

/** The MLflow registry as a service: the mirror, lists over it, and reads that go to the source on demand. */
export async function createRegistry(options: Options): Promise<Registry> {
  const mirror = await createMirror(options);
  const stopping = new AbortController();
  const current = async (): Promise<Snapshot> => {
    if (!options.cacheEnabled) return mirror.readThrough();
    const { snapshot, lastError } = mirror.status();
    if (snapshot) return snapshot;
    if (lastError !== null) throw unavailable(`the registry has not been read yet: ${lastError}`);
    // The first read is pending or running: join it.
    const limit = AbortSignal.any([stopping.signal, AbortSignal.timeout(options.firstReadMs)]);
    return inTime(mirror.refresh(), limit).catch((error: unknown) => {
      throw limit.aborted ? unavailable('the registry is being read for the first time', error) : error;
    });
  };
  const abort = (): void => {
    stopping.abort(new Error('stopping'));
    mirror.abort();
  };
  return {
    ...snapshotAnswers(options, current),
    ...createOnDemandReads(options, mirror, stopping.signal),
    ...runCounting(options, mirror),
    start: () => mirror.start(),
    stop: async () => {
      abort();
      await mirror.stop();
    },
    refresh: () => mirror.refresh(),
    reread: () => mirror.reread(),
    follow: () => mirror.follow(),
    refreshModel: (name) => mirror.refreshModel(name),
    journalError: () => options.journalError?.() ?? null,
    ping: (signal) => mirror.ping(signal),
    abort,
    current,
    currentIfRead: async () =>
      options.cacheEnabled ? mirror.status().snapshot : mirror.readThrough().catch(() => null),
    status: () => mirror.status(),
    provenance: () => {
      const { ageMs, stale, origin } = mirror.status();
      return { ageMs, stale, origin };
    },
    cacheStats: () => cacheStats(options, mirror),
    cacheInfo: () => cacheInfo(options, mirror),
    clearCache: async () => {
      if (!options.cachePath) return null;
      return mirror.clearCacheFile();
    },
  };
}

/** Answers that need only the snapshot. */
function snapshotAnswers(options: Options, current: () => Promise<Snapshot>) {
  const lists = createLists(options.maxModelsReturned, options.aliasTable);
  return {
    versions: async (stage: Stage | null, query: ModelListQuery) => {
      const snapshot = await current();
      if (stage === null) return lists.versions(snapshot.versions, query);
      if (query.by !== undefined) return lists.versions(snapshot.versions, { ...query, stage });
      return lists.versions(snapshot.byStage[stage], query);
    },
    listVersions: (versions: readonly ModelVersion[], query: ModelListQuery) => lists.versions(versions, query),
    model: async (name: string) => {
      const model = (await current()).models.get(name);
      if (!model)
        throw notFound(`Model ${JSON.stringify(name)} not found in MLflow`, { parameter: 'model_name', value: name });
      return model;
    },
    experiments: async (query: ModelListQuery) => lists.experiments((await current()).experiments, query),
  };
}

/** Counts all runs in the background. */
function runCounting(options: Options, mirror: Mirror) {
  const runCount = createRunCount(options.clock);
  return {
    runTotal: () => runCount.total(),
    countRuns: async (signal: AbortSignal) => {
      // An empty registry is no failure: the refresh reports what is wrong.
      const { snapshot } = mirror.status();
      if (!snapshot) return;
      const active = snapshot.experiments.filter((item) => item.lifecycleStage === 'active');
      const ids = active.map((item) => item.experimentId);
      await runCount.step(mirror.source(), ids, signal);
    },
  };
}

async function cacheInfo(options: Options, mirror: Mirror): Promise<CacheInfo> {
  const [stats, monitored] = await Promise.all([cacheStats(options, mirror), options.monitoredCount()]);
  const { connection, snapshot } = mirror.status();
  return {
    cache_info: stats,
    tracking_info: {
      total_models: stats.total_models,
      production_models: stats.models_by_stage.Production,
      staging_models: stats.models_by_stage.Staging,
      monitored_models: monitored,
      dangling_aliases: snapshot?.danglingAliases.length ?? 0,
    },
    system_status: {
      mlflow_connected: connection === 'connected',
      tracking_method: options.cacheEnabled ? 'cached' : 'direct',
      cache_enabled: options.cacheEnabled,
    },
  };
}

async function cacheStats(options: Options, mirror: Mirror): Promise<CacheStats> {
  const status = mirror.status();
  const file = await mirror.cacheFile();
  const byStage = status.snapshot?.byStage;
  const hours = (ms: number) => Number((ms / 3_600_000).toFixed(2));
  return {
    total_models: status.snapshot?.versions.length ?? 0,
    models_by_stage: {
      None: byStage?.None.length ?? 0,
      Staging: byStage?.Staging.length ?? 0,
      Production: byStage?.Production.length ?? 0,
      Archived: byStage?.Archived.length ?? 0,
    },
    last_refresh: isoTime(status.snapshot?.readAt ?? null),
    is_refreshing: status.refreshing,
    cache_age_minutes: status.ageMs === null ? null : Number((status.ageMs / 60_000).toFixed(1)),
    is_stale: status.stale,
    registered_models: status.snapshot?.models.size ?? 0,
    data_source: status.origin,
    last_error: status.lastError,
    persistence: {
      enabled: options.cachePath !== null,
      cache_directory: options.cacheDirectory,
      cache_file_exists: file !== null,
      cache_file_age_hours: file && hours(Math.max(0, options.clock.now() - file.modifiedAt)),
      cache_file_size_bytes: file && file.bytes,
      max_age_hours: hours(options.maxAgeMs),
      last_error: status.lastPersistError,
    },
  };
}
