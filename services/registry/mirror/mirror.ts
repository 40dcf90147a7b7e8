import { type Clock, steadyMs } from '#kernel/clock.ts';
import { TowerError, unavailable } from '#kernel/errors.ts';
import type { Log } from '#kernel/log.ts';
import type { Snapshot } from '../snapshot/snapshot.ts';
import type { RegistrySource } from '../sources/source.ts';
import { createDeletionGuard } from './mass-deletion.ts';
import { createMirrorState, type MirrorState } from './mirror-state.ts';
import { createPersistence, type Persistence } from './persistence.ts';
import { createReader, type ReaderOptions } from './reader.ts';
import { createRefresher } from './refresh.ts';
import type { SharedSnapshots } from './shared-snapshots.ts';
import { createSharing } from './sharing.ts';

/** `not_configured`: only the sample is available; `connecting`: no attempt has ended yet. */
export const connections = ['connected', 'disconnected', 'connecting', 'not_configured'] as const;
export type Connection = (typeof connections)[number];

export type MirrorStatus = {
  origin: 'mlflow' | 'sample';
  sourceLabel: string;
  snapshot: Snapshot | null;
  ageMs: number | null;
  /** The last attempt failed, or the snapshot is older than CACHE_MAX_AGE_HOURS. */
  stale: boolean;
  refreshing: boolean;
  /** Whether the configured source answered at the last attempt. */
  connection: Connection;
  lastError: string | null;
  lastPersistError: string | null;
};

/** Which part of the registry was read between which times (milliseconds since 1970). `names` null: all models. */
export type Poll = { from: number; at: number; names: ReadonlySet<string> | null };

export type MirrorOptions = Omit<ReaderOptions, 'clock'> & {
  /** The configured registry; null: none, only the sample is shown. */
  source: RegistrySource | null;
  /** Opens the sample registry; null: sample data must not be shown. */
  openSample: (() => Promise<RegistrySource>) | null;
  cachePath: string | null;
  /** Snapshots of other instances over the same store; null: the store is not shared. */
  shared?: SharedSnapshots | null;
  timeoutMs: number;
  maxAgeMs: number;
  /** Share of the models, 0 to 1, that may be missing from a read without a second one. */
  massDeletionShare: number;
  clock: Clock;
  log: Log;
  onRefresh?: (outcome: { ok: boolean; seconds: number }) => void;
  /** The source became reachable or unreachable: the leader should refresh soon. */
  onReachabilityChange?: () => void;
  /** Receives every snapshot that this instance read from the configured source. */
  onSwap?: (snapshot: Snapshot, poll: Poll) => Promise<void>;
};

/** The registry in memory: one snapshot, refreshed from the source and persisted in a file. */
export type Mirror = {
  /** Loads the cache file, or the sample if nothing else is configured. Fast; calls no server. */
  start(): Promise<void>;
  /** Reads the source and swaps the snapshot; concurrent calls share one read. @throws `unavailable` */
  refresh(): Promise<Snapshot>;
  /** Takes over a newer snapshot of another instance. @throws `unavailable` */
  follow(): Promise<void>;
  /** A snapshot of a read that began after this call. */
  readThrough(): Promise<Snapshot>;
  /** The same, in which also everything is read that other reads take over. @throws `unavailable` */
  reread(): Promise<Snapshot>;
  /** Reads one model by name, or everything if the source cannot. Calls during a read share the next one. */
  refreshModel(name: string): Promise<void>;
  status(): MirrorStatus;
  source(): RegistrySource;
  clearCacheFile(): Promise<boolean>;
  cacheFile(): Promise<{ bytes: number; modifiedAt: number } | null>;
  /** Reports that a read elsewhere got no answer from the source. */
  markUnreachable(error: TowerError): void;
  /** Checks whether the source answers, without reading it. @throws `unavailable` */
  ping(signal: AbortSignal): Promise<void>;
  /** Aborts running reads. */
  abort(): void;
  stop(): Promise<void>;
};

/** Max wait for a shared snapshot before reading MLflow directly. */
const maxFollowWaitMs = 15_000;

export async function createMirror(options: MirrorOptions): Promise<Mirror> {
  const { source, clock, log, onReachabilityChange } = options;
  const stopping = new AbortController();
  const sample = source ? null : await openSampleOf(options);
  const state = createMirrorState(source ?? sample!, source ? 'mlflow' : 'sample', clock);
  const { reader, refresher, persistence, sharing } = assemble(options, state, stopping.signal);
  const reads = createReads(async (isForced) => {
    const read = await refresher.whole(isForced);
    return state.content().snapshot ?? read;
  });
  let waitingSince: number | null = null;
  const markUnreachable = (error: TowerError): void => {
    // A read aborted by shutdown tells nothing about the source.
    if (stopping.signal.aborted || !source || state.content().source !== source) return;
    if (!state.failed(error)) return;
    log.warn({ reason: state.lastError() }, 'MLflow is unreachable; serving from memory');
    onReachabilityChange?.();
  };
  return {
    start: () =>
      source ? startFromCache(state, persistence, reader.build, log) : startFromSample(state, reads.now, log),
    refresh: reads.now,
    follow: async () => {
      if (!sharing || (await sharing.follow())) return;
      waitingSince ??= steadyMs(clock);
      if (steadyMs(clock) - waitingSince >= maxFollowWaitMs) await reads.now();
    },
    readThrough: reads.after,
    reread: reads.forced,
    refreshModel: batched(async (names) => {
      if (!(await refresher.models(names))) await reads.after();
    }),
    status: () => statusOf(options, state, reads.isReading(), persistence.lastError()),
    source: () => state.content().source,
    clearCacheFile: persistence.remove,
    cacheFile: persistence.facts,
    markUnreachable,
    ping: async (signal) => {
      if (!source) return;
      await ping(source, signal).catch((error: TowerError) => {
        markUnreachable(error);
        throw error;
      });
      if (state.connected() !== false) return;
      // A follower does not read the source, so it learns the source's state here.
      if (sharing && state.content().snapshot) state.answered();
      onReachabilityChange?.();
    },
    abort: () => stopping.abort(new Error('stopping')),
    stop: async () => {
      stopping.abort(new Error('stopping'));
      await reads.settled();
      await source?.close();
      if (state.content().source !== source) await state.content().source.close();
    },
  };
}

/**
 * Subscribers of the state, in this order: notes for publishing and rereading, the journal, the cache file, the other
 * instances.
 */
function assemble(options: MirrorOptions, state: MirrorState, stopping: AbortSignal) {
  const { source, shared, clock, log, onSwap, onReachabilityChange } = options;
  const reader = createReader(options);
  const sharing = shared && source ? createSharing({ shared, source, state, reader, stopping, log }) : null;
  if (sharing) state.subscribe(sharing.mark);
  const deletions = createDeletionGuard(options.massDeletionShare, clock);
  const onFailure = () => onReachabilityChange?.();
  const refresher = createRefresher({ ...options, state, reader, deletions, stopping, onFailure });
  state.subscribe((swap) => {
    if (swap.origin === 'sample' || (swap.cause !== 'read' && swap.cause !== 'models')) return undefined;
    const names = swap.cause === 'models' ? swap.names : null;
    return onSwap?.(swap.snapshot, { from: swap.from, at: clock.now(), names });
  });
  const persistence = createPersistence(options.cachePath, state, log);
  if (sharing) state.subscribe(sharing.publish);
  return { reader, refresher, persistence, sharing };
}

/** @throws `internal` if sample data must not be shown */
async function openSampleOf({ openSample }: MirrorOptions): Promise<RegistrySource> {
  if (!openSample) throw new TowerError('internal', 'no registry and no sample configured');
  return openSample();
}

/** Serializes full reads. */
function createReads(read: (isForced: boolean) => Promise<Snapshot>) {
  let isForced = false;
  let current: Promise<Snapshot> | null = null;
  let next: Promise<Snapshot> | null = null;
  const now = (): Promise<Snapshot> => {
    if (current) return current;
    const started = read(isForced).finally(() => {
      current = null;
    });
    isForced = false;
    current = started;
    return started;
  };
  const after = (): Promise<Snapshot> => {
    if (!current) return now();
    next ??= current
      .catch(() => undefined)
      .then(() => {
        next = null;
        return now();
      });
    return next;
  };
  return {
    /** Joins the running read, or starts one. */
    now,
    /** A read that starts after this call; calls during one read share the next. */
    after,
    /** The same, also reading everything that other reads take over. */
    forced: (): Promise<Snapshot> => {
      isForced = true;
      return after();
    },
    isReading: () => current !== null,
    settled: async (): Promise<void> => {
      await current?.catch(() => undefined);
    },
  };
}

/** One read at a time; calls before the next one starts share it. */
function batched(read: (names: ReadonlySet<string>) => Promise<void>): (name: string) => Promise<void> {
  let waiting = new Set<string>();
  let reading: Promise<void> = Promise.resolve();
  return (name) => {
    if (waiting.size === 0) {
      reading = reading
        .catch(() => undefined)
        .then(() => {
          const names = waiting;
          waiting = new Set();
          return read(names);
        });
    }
    waiting.add(name);
    return reading;
  };
}

const ping = (source: RegistrySource, signal: AbortSignal): Promise<void> =>
  source.ping(signal).catch((error: unknown) => {
    throw error instanceof TowerError ? error : unavailable('MLflow did not answer in time', error);
  });

async function startFromSample(state: MirrorState, read: () => Promise<Snapshot>, log: Log): Promise<void> {
  await read();
  log.info({ source: state.content().source.label }, 'MLFLOW_TRACKING_URI is not set: serving SAMPLE DATA');
}

async function startFromCache(
  state: MirrorState,
  { load }: Persistence,
  build: ReturnType<typeof createReader>['build'],
  log: Log,
): Promise<void> {
  const { source } = state.content();
  const cached = await load(source.fingerprint);
  if (!cached) return;
  state.resume(cached.rounds);
  const snapshot = await build(cached.rows, cached.readAt);
  await state.swap({ cause: 'cache', snapshot, source, origin: 'mlflow', revision: null });
  const readAt = new Date(cached.readAt).toISOString();
  log.info({ versions: snapshot.versions.length, read_at: readAt }, 'loaded the cache file');
}

function statusOf(
  { source, maxAgeMs }: MirrorOptions,
  state: MirrorState,
  refreshing: boolean,
  lastPersistError: string | null,
): MirrorStatus {
  const { snapshot, origin, source: readFrom } = state.content();
  const [ageMs, connected] = [state.ageMs(), state.connected()];
  return {
    origin,
    sourceLabel: (source ?? readFrom).label,
    snapshot,
    ageMs,
    stale: connected === false || state.isDoubted() || (ageMs !== null && ageMs > maxAgeMs),
    refreshing,
    connection: source ? connectionOf(connected) : 'not_configured',
    lastError: state.lastError(),
    lastPersistError,
  };
}

function connectionOf(connected: boolean | null): Connection {
  if (connected === null) return 'connecting';
  return connected ? 'connected' : 'disconnected';
}
