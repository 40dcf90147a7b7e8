import { unlink } from 'node:fs/promises';
import type { Clock } from '../../src/kernel/clock.ts';
import { publicText, TowerError, unavailable } from '../../src/kernel/errors.ts';
import { fileFacts, removeLeftovers, setAside } from '../../src/kernel/files.ts';
import type { Log } from '../../src/kernel/log.ts';
import { loadCache, saveCache } from './cache-file.ts';
import { buildSnapshot, type RegistryRows, type Snapshot } from './snapshot.ts';
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
  /** Successful refreshes so far. */
  rounds: number;
  inFlight: Promise<Snapshot> | null;
  /** The read that begins when the one in flight is over, for those who must not share it. */
  next: Promise<Snapshot> | null;
};

export async function createMirror(options: MirrorOptions): Promise<Mirror> {
  const stopping = new AbortController();
  const state: State = {
    source: options.source ?? (await sampleOf(options)),
    origin: options.source ? 'mlflow' : 'sample',
    snapshot: null,
    connected: null,
    lastError: null,
    lastPersistError: null,
    rounds: 0,
    inFlight: null,
    next: null,
  };
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
  return {
    start: () => (options.source ? startFromCache(options, state) : startFromSample(options, state, refresh)),
    refresh,
    readThrough: () => (state.inFlight ? refreshNext(state.inFlight) : refresh()),
    status: () => statusOf(options, state),
    source: () => state.source,
    clearCacheFile: async () => (options.cachePath ? removeFile(options.cachePath) : false),
    cacheFile: async () => (options.cachePath ? fileFacts(options.cachePath) : null),
    stop: async () => {
      stopping.abort(new Error('stopping'));
      await state.inFlight?.catch(() => undefined);
      await options.source?.close();
      if (state.source !== options.source) await state.source.close();
    },
  };
}

async function startFromSample(options: MirrorOptions, state: State, refresh: () => Promise<Snapshot>): Promise<void> {
  await refresh();
  options.log.info({ source: state.source.label }, 'MLFLOW_TRACKING_URI is not set: this is SAMPLE DATA, not yours');
}

async function startFromCache(options: MirrorOptions, state: State): Promise<void> {
  const loaded = options.cachePath ? await takeCache(options.cachePath, state.source.fingerprint, options.log) : null;
  if (!loaded) return;
  state.snapshot = await buildSnapshot(loaded.rows, loaded.readAt, options.aliasTable);
  const readAt = new Date(loaded.readAt).toISOString();
  options.log.info({ versions: state.snapshot.versions.length, read_at: readAt }, 'ready from the cache file');
}

async function refreshOnce(options: MirrorOptions, state: State, stopping: AbortSignal): Promise<Snapshot> {
  const started = performance.now();
  const from = options.source ?? state.source;
  const limit = AbortSignal.any([stopping, AbortSignal.timeout(options.timeoutMs)]);
  const report = (ok: boolean) => options.onRefresh?.({ ok, seconds: (performance.now() - started) / 1000 });
  let fresh: Snapshot;
  try {
    fresh = await readSource(options, state, from, limit);
  } catch (error) {
    const failure = asUnavailable(error, limit, options.timeoutMs);
    state.connected = false;
    state.lastError = publicText(failure);
    report(false);
    if (!state.snapshot && options.openSample && !stopping.aborted) await showSample(options, state, stopping);
    throw failure;
  }
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
  const rows = await from.readRegistry(
    snapshot && from === state.source ? { rows: snapshot.rows, reread } : null,
    signal,
  );
  if (rows) return buildSnapshot(rows, readAt, options.aliasTable);
  if (snapshot) return { ...snapshot, readAt };
  throw new TowerError('internal', 'a source said "unchanged" before it was ever read');
}

async function persist(options: MirrorOptions, state: State, { rows, readAt }: Snapshot): Promise<void> {
  if (!options.cachePath || state.origin === 'sample') return;
  const { fingerprint, label } = state.source;
  try {
    await saveCache(options.cachePath, rows, { fingerprint, source: label, readAt });
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

/** @returns whether there was a file */
async function removeFile(path: string): Promise<boolean> {
  try {
    await unlink(path);
    return true;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') return false;
    throw unavailable(`the cache file cannot be removed (${code})`, error);
  }
}

/** The cache file's rows, if it is whole and ours; what is not is set aside, said, and not an obstacle. */
async function takeCache(
  path: string,
  fingerprint: string,
  log: Log,
): Promise<{ rows: RegistryRows; readAt: number } | null> {
  await removeLeftovers(path);
  const cache = await loadCache(path, fingerprint);
  if (cache.status === 'loaded') return cache;
  if (cache.status === 'unusable') {
    const aside = await setAside(path, cache.reason);
    log.warn(
      { file: path, set_aside_as: aside },
      `the cache file is not used: ${cache.why}; the registry will be read afresh`,
    );
  }
  return null;
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
