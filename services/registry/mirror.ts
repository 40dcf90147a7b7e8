import type { Clock } from '../../src/kernel/clock.ts';
import { publicText, TowerError, unavailable } from '../../src/kernel/errors.ts';
import { fileFacts } from '../../src/kernel/files.ts';
import type { Log } from '../../src/kernel/log.ts';
import { saveCache } from './cache-file.ts';
import { removeCacheFile, takeCache } from './cache-start.ts';
import { buildSnapshot, type Snapshot } from './snapshot.ts';
import type { RegistrySource } from './source.ts';
import type { AliasTable } from './stages.ts';

export type MirrorOptions = {
  /** The configured registry; null = none configured, the sample is all there is. */
  source: RegistrySource | null;
  /** Opens the sample registry; null = sample data must not be shown. */
  openSample: (() => Promise<RegistrySource>) | null;
  cachePath: string | null;
  aliasTable: AliasTable;
  timeoutMs: number;
  maxAgeMs: number;
  rereadEvery: number;
  /** Runs whose metrics may change after their end: those of monitored versions. */
  monitoredRunIds: () => Promise<Set<string>>;
  clock: Clock;
  log: Log;
  onRefresh?: (outcome: { ok: boolean; seconds: number }) => void;
  /** The source is gone, or back: somebody should refresh soon. */
  onNews?: () => void;
  /** false: nothing that was read before is reused. */
  cacheEnabled: boolean;
};

/** `not_configured`: there is no source but the sample; `connecting`: not tried yet. */
export const connections = ['connected', 'disconnected', 'connecting', 'not_configured'] as const;
export type Connection = (typeof connections)[number];

export type MirrorStatus = {
  origin: 'mlflow' | 'sample';
  sourceLabel: string;
  snapshot: Snapshot | null;
  ageMs: number | null;
  /** The last try failed, or the snapshot is older than CACHE_MAX_AGE_HOURS. */
  stale: boolean;
  refreshing: boolean;
  /** Whether the configured source answered at the last try. */
  connection: Connection;
  lastError: string | null;
  lastPersistError: string | null;
};

/** The registry in memory: one snapshot at a time, refreshed from the source, kept in a file. */
export type Mirror = {
  /** Loads the cache file, or the sample where nothing else is configured. Returns fast; never asks a server. */
  start(): Promise<void>;
  /** Reads the source and swaps the snapshot; calls while one is under way share it. */
  refresh(): Promise<Snapshot>;
  /** A snapshot read after this call was made. */
  readThrough(): Promise<Snapshot>;
  status(): MirrorStatus;
  source(): RegistrySource;
  clearCacheFile(): Promise<boolean>;
  cacheFile(): Promise<{ bytes: number; modifiedAt: number } | null>;
  /** Learns from a read elsewhere that the source does not answer. */
  sawTrouble(error: TowerError): void;
  /** A light look whether the source answers. @throws `unavailable` */
  ping(signal: AbortSignal): Promise<void>;
  /** Gives up what is being read. */
  abort(): void;
  stop(): Promise<void>;
};

/** What changes while the mirror lives. `source` is what `snapshot` was read from. */
type State = {
  source: RegistrySource;
  origin: MirrorStatus['origin'];
  snapshot: Snapshot | null;
  connected: boolean | null;
  lastError: string | null;
  lastPersistError: string | null;
  /** Successful refreshes so far, those before a restart included. */
  rounds: number;
  inFlight: Promise<Snapshot> | null;
  /** The read that begins when the one in flight is over, for those who must not share it. */
  next: Promise<Snapshot> | null;
};

export async function createMirror(options: MirrorOptions): Promise<Mirror> {
  const stopping = new AbortController();
  const state = firstState(options, options.source ?? (await sampleOf(options)));
  const refresh = (): Promise<Snapshot> => {
    state.inFlight ??= refreshOnce(options, state, stopping.signal).finally(() => {
      state.inFlight = null;
    });
    return state.inFlight;
  };
  const refreshNext = (after: Promise<Snapshot>): Promise<Snapshot> => {
    state.next ??= after
      .catch(() => undefined)
      .then(() => {
        state.next = null;
        return refresh();
      });
    return state.next;
  };
  // What stops does not answer either: that is no news.
  const learn = (error: TowerError): void => {
    if (!stopping.signal.aborted) sawTrouble(options, state, error);
  };
  return {
    start: () => (options.source ? startFromCache(options, state) : startFromSample(options, state, refresh)),
    refresh,
    readThrough: () => (state.inFlight ? refreshNext(state.inFlight) : refresh()),
    status: () => statusOf(options, state),
    source: () => state.source,
    clearCacheFile: async () => (options.cachePath ? removeCacheFile(options.cachePath) : false),
    cacheFile: async () => (options.cachePath ? fileFacts(options.cachePath) : null),
    sawTrouble: learn,
    ping: async (signal) => {
      if (!options.source) return;
      try {
        await options.source.ping(signal);
      } catch (error) {
        const trouble = error instanceof TowerError ? error : unavailable('MLflow did not answer in time', error);
        learn(trouble);
        throw trouble;
      }
      if (state.connected === false) options.onNews?.();
    },
    abort: () => stopping.abort(new Error('stopping')),
    stop: async () => {
      stopping.abort(new Error('stopping'));
      await state.inFlight?.catch(() => undefined);
      await options.source?.close();
      if (state.source !== options.source) await state.source.close();
    },
  };
}

const firstState = (options: MirrorOptions, source: RegistrySource): State => ({
  source,
  origin: options.source ? 'mlflow' : 'sample',
  snapshot: null,
  connected: null,
  lastError: null,
  lastPersistError: null,
  rounds: 0,
  inFlight: null,
  next: null,
});

function sawTrouble(options: MirrorOptions, state: State, error: TowerError): void {
  if (!options.source || state.source !== options.source) return;
  const isNews = state.connected !== false;
  state.connected = false;
  state.lastError = publicText(error);
  if (!isNews) return;
  options.log.warn({ reason: state.lastError }, 'MLflow does not answer; the mirror goes on from memory');
  options.onNews?.();
}

async function startFromSample(options: MirrorOptions, state: State, refresh: () => Promise<Snapshot>): Promise<void> {
  await refresh();
  options.log.info({ source: state.source.label }, 'MLFLOW_TRACKING_URI is not set: this is SAMPLE DATA, not yours');
}

async function startFromCache(options: MirrorOptions, state: State): Promise<void> {
  const loaded = options.cachePath ? await takeCache(options.cachePath, state.source.fingerprint, options.log) : null;
  if (!loaded) return;
  state.rounds = loaded.rounds;
  state.snapshot = await buildSnapshot(loaded.rows, loaded.readAt, options.aliasTable);
  const readAt = new Date(loaded.readAt).toISOString();
  options.log.info({ versions: state.snapshot.versions.length, read_at: readAt }, 'ready from the cache file');
}

async function refreshOnce(options: MirrorOptions, state: State, stopping: AbortSignal): Promise<Snapshot> {
  const started = performance.now();
  const from = options.source ?? state.source;
  // Ends with the refresh, so that calls still queued when one of them failed are not sent any more.
  const over = new AbortController();
  const limit = AbortSignal.any([stopping, AbortSignal.timeout(options.timeoutMs), over.signal]);
  const report = (ok: boolean) => options.onRefresh?.({ ok, seconds: (performance.now() - started) / 1000 });
  let fresh: Snapshot;
  try {
    fresh = await readSource(options, state, from, limit);
  } catch (error) {
    const failure = asUnavailable(error, limit, options.timeoutMs);
    state.connected = false;
    state.lastError = publicText(failure);
    report(false);
    if (!stopping.aborted) options.onNews?.();
    if (!state.snapshot && options.openSample && !stopping.aborted) await showSample(options, state, stopping);
    throw failure;
  } finally {
    over.abort(new Error('the refresh is over'));
  }
  if (state.connected !== true)
    options.log.info({ versions: fresh.versions.length, source: from.label }, 'the registry was read');
  if (state.source !== from) await state.source.close();
  state.source = from;
  state.origin = options.source ? 'mlflow' : 'sample';
  state.snapshot = fresh;
  state.connected = true;
  state.lastError = null;
  state.rounds += 1;
  report(true);
  await persist(options, state, fresh);
  return fresh;
}

async function readSource(
  options: MirrorOptions,
  state: State,
  from: RegistrySource,
  signal: AbortSignal,
): Promise<Snapshot> {
  const { snapshot, rounds } = state;
  const everything = rounds > 0 && rounds % options.rereadEvery === 0;
  const monitored = await options.monitoredRunIds();
  const reread = (runId: string) => everything || monitored.has(runId);
  const readAt = options.clock.now();
  const known = options.cacheEnabled && snapshot && from === state.source ? { rows: snapshot.rows, reread } : null;
  const rows = await from.readRegistry(known, signal);
  if (rows) return buildSnapshot(rows, readAt, options.aliasTable);
  if (snapshot) return { ...snapshot, readAt };
  throw new TowerError('internal', 'a source said "unchanged" before it was ever read');
}

async function persist(options: MirrorOptions, state: State, { rows, readAt }: Snapshot): Promise<void> {
  if (!options.cachePath || state.origin === 'sample') return;
  const { fingerprint, label } = state.source;
  try {
    await saveCache(options.cachePath, rows, { fingerprint, source: label, readAt, rounds: state.rounds });
    state.lastPersistError = null;
  } catch (error) {
    state.lastPersistError = error instanceof Error ? error.message : String(error);
    options.log.warn(
      { err: error, file: options.cachePath },
      'the cache file could not be written; the mirror goes on in memory',
    );
  }
}

async function showSample(options: MirrorOptions, state: State, signal: AbortSignal): Promise<void> {
  const sample = await sampleOf(options);
  const rows = await sample.readRegistry(null, signal);
  if (!rows) return;
  state.snapshot = await buildSnapshot(rows, options.clock.now(), options.aliasTable);
  state.source = sample;
  state.origin = 'sample';
  const text = 'MLflow cannot be reached: SAMPLE DATA is shown until it answers (ENABLE_MOCK_DATA=true)';
  options.log.warn({ reason: state.lastError }, text);
}

function statusOf(options: MirrorOptions, state: State): MirrorStatus {
  const { snapshot, origin, connected, lastError, lastPersistError } = state;
  const ageMs = snapshot ? Math.max(0, options.clock.now() - snapshot.readAt) : null;
  return {
    origin,
    sourceLabel: (options.source ?? state.source).label,
    snapshot,
    ageMs,
    stale: connected === false || (ageMs !== null && ageMs > options.maxAgeMs),
    refreshing: state.inFlight !== null,
    connection: options.source ? connectionOf(connected) : 'not_configured',
    lastError,
    lastPersistError,
  };
}

function connectionOf(connected: boolean | null): Connection {
  if (connected === null) return 'connecting';
  return connected ? 'connected' : 'disconnected';
}

async function sampleOf(options: MirrorOptions): Promise<RegistrySource> {
  if (!options.openSample) throw new TowerError('internal', 'no registry and no sample configured');
  return options.openSample();
}

function asUnavailable(error: unknown, limit: AbortSignal, timeoutMs: number): TowerError {
  if (limit.aborted)
    return unavailable(`the registry could not be read within ${timeoutMs / 1000} s (CACHE_TIMEOUT_SECONDS)`, error);
  if (error instanceof TowerError) return error;
  return unavailable('the registry could not be read', error);
}
