import { publicText, TowerError, unavailable } from '#kernel/errors.ts';
import { fileFacts } from '#kernel/files.ts';
import { buildSnapshot, type Snapshot } from '../snapshot/snapshot.ts';
import type { RegistrySource } from '../sources/source.ts';
import { removeCacheFile, takeCache } from './cache-start.ts';
import { type MirrorOptions, refreshModels, refreshOnce, type State, sampleOf } from './refresh.ts';
import { followOnce, share } from './sharing.ts';

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
  /** Takes over what another tower read later. @throws `unavailable` */
  follow(): Promise<void>;
  /** A snapshot read after this call was made. */
  readThrough(): Promise<Snapshot>;
  /** Reads one model by name, or everything where the source cannot. Calls that come while one is under way wait for one more. */
  refreshModel(name: string): Promise<void>;
  status(): MirrorStatus;
  source(): RegistrySource;
  clearCacheFile(): Promise<boolean>;
  cacheFile(): Promise<{ bytes: number; modifiedAt: number } | null>;
  /** Learns from a read elsewhere that the source does not answer. */
  markUnreachable(error: TowerError): void;
  /** A light look whether the source answers. @throws `unavailable` */
  ping(signal: AbortSignal): Promise<void>;
  /** Gives up what is being read. */
  abort(): void;
  stop(): Promise<void>;
};

/** So long a tower waits for another one to leave it the registry. */
const patienceMs = 15_000;

export async function createMirror(options: MirrorOptions): Promise<Mirror> {
  const stopping = new AbortController();
  const state = firstState(options, options.source ?? (await sampleOf(options)));
  let nothingSince: number | null = null;
  const refresh = (): Promise<Snapshot> => {
    state.inFlight ??= refreshAndShare(options, state, stopping.signal).finally(() => {
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
    follow: async () => {
      if (await followOnce(options, state, stopping.signal)) return;
      // Nobody has left anything this tower can use: after a while it reads by itself.
      nothingSince ??= options.clock.now();
      if (options.clock.now() - nothingSince >= patienceMs) await refresh();
    },
    readThrough: () => (state.inFlight ? refreshNext(state.inFlight) : refresh()),
    refreshModel: byName(async (names) => {
      if (await refreshModels(options, state, names, stopping.signal)) await share(options, state, stopping.signal);
      else await (state.inFlight ? refreshNext(state.inFlight) : refresh());
    }),
    status: () => statusOf(options, state),
    source: () => state.source,
    clearCacheFile: async () => (options.cachePath ? removeCacheFile(options.cachePath) : false),
    cacheFile: async () => (options.cachePath ? fileFacts(options.cachePath) : null),
    markUnreachable: learn,
    ping: (signal) => pingOnce(options, state, signal, learn),
    abort: () => stopping.abort(new Error('stopping')),
    stop: async () => {
      stopping.abort(new Error('stopping'));
      await state.inFlight?.catch(() => undefined);
      await options.source?.close();
      if (state.source !== options.source) await state.source.close();
    },
  };
}

async function refreshAndShare(options: MirrorOptions, state: State, stopping: AbortSignal): Promise<Snapshot> {
  const fresh = await refreshOnce(options, state, stopping);
  await share(options, state, stopping);
  return state.snapshot ?? fresh;
}

async function pingOnce(
  options: MirrorOptions,
  state: State,
  signal: AbortSignal,
  learn: (error: TowerError) => void,
): Promise<void> {
  if (!options.source) return;
  try {
    await options.source.ping(signal);
  } catch (error) {
    const trouble = error instanceof TowerError ? error : unavailable('MLflow did not answer in time', error);
    learn(trouble);
    throw trouble;
  }
  if (state.connected !== false) return;
  // Who follows another tower's reads learns here that it would not have to.
  if (options.shared && state.snapshot) Object.assign(state, { connected: true, lastError: null });
  options.onNews?.();
}

/** One read at a time; whoever asks while the next one has not begun shares it. */
function byName(read: (names: ReadonlySet<string>) => Promise<void>): (name: string) => Promise<void> {
  let wanted = new Set<string>();
  let reading: Promise<void> = Promise.resolve();
  return (name) => {
    if (wanted.size === 0) {
      reading = reading
        .catch(() => undefined)
        .then(() => {
          const names = wanted;
          wanted = new Set();
          return read(names);
        });
    }
    wanted.add(name);
    return reading;
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
  touched: new Set(),
  revision: null,
  unshared: new Map(),
  isWholeUnshared: false,
  sharing: Promise.resolve(),
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
