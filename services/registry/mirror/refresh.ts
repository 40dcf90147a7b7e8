import type { Clock } from '#kernel/clock.ts';
import { publicText, TowerError, unavailable } from '#kernel/errors.ts';
import type { Log } from '#kernel/log.ts';
import { buildSnapshot, type RegistryRows, type Snapshot } from '../snapshot/snapshot.ts';
import type { AliasTable } from '../snapshot/stages.ts';
import type { ModelRows, RegistrySource } from '../sources/source.ts';
import { saveCache } from './cache-file.ts';
import type { SharedSnapshots } from './shared-snapshots.ts';

/** How the mirror is brought up to date: whole, or a few models of it. */

export type MirrorOptions = {
  /** The configured registry; null = none configured, the sample is all there is. */
  source: RegistrySource | null;
  /** Opens the sample registry; null = sample data must not be shown. */
  openSample: (() => Promise<RegistrySource>) | null;
  cachePath: string | null;
  /** What other towers over the same store read; null where there are none. */
  shared?: SharedSnapshots | null;
  aliasTable: AliasTable;
  timeoutMs: number;
  maxAgeMs: number;
  rereadEvery: number;
  /** Runs whose metrics may change after their end: those of monitored versions. */
  monitoredRunIds: () => Promise<Set<string>>;
  clock: Clock;
  log: Log;
  onRefresh?: (outcome: { ok: boolean; seconds: number }) => void;
  /** The source is gone, or back, or something was missed: somebody should refresh soon. */
  onNews?: () => void;
  /** Takes every snapshot of the configured source, and which models of it are new; null = all of it. */
  onSwap?: (snapshot: Snapshot, look: Poll) => Promise<void>;
  /** false: nothing that was read before is reused. */
  cacheEnabled: boolean;
};

/** Between which moments the registry was looked at, and at which models of it; null = at all of them. */
export type Poll = { from: number; at: number; names: ReadonlySet<string> | null };

/** What changes while the mirror lives. `source` is what `snapshot` was read from. */
export type State = {
  source: RegistrySource;
  origin: 'mlflow' | 'sample';
  snapshot: Snapshot | null;
  connected: boolean | null;
  lastError: string | null;
  lastPersistError: string | null;
  /** Successful refreshes so far, those before a restart included. */
  rounds: number;
  inFlight: Promise<Snapshot> | null;
  /** The read that begins when the one in flight is over, for those who must not share it. */
  next: Promise<Snapshot> | null;
  /** Models read by name while a whole read was under way, which may have seen them as they were before. */
  touched: Set<string>;
  /** The shared revision `snapshot` was made from; null where it was made from none. */
  revision: number | null;
  /** What was read and not left for other towers yet: models by name with the moment, and whether it is the whole. */
  unshared: Map<string, number>;
  isWholeUnshared: boolean;
  /** What is being left or taken. */
  sharing: Promise<void>;
};

/** Reads the source whole and swaps the snapshot. @throws `unavailable` */
export async function refreshOnce(options: MirrorOptions, state: State, stopping: AbortSignal): Promise<Snapshot> {
  state.touched.clear();
  const { revision } = state;
  const started = performance.now();
  const from = options.source ?? state.source;
  // Ends with the refresh, so that calls still queued when one of them failed are not sent any more.
  const over = new AbortController();
  const limit = AbortSignal.any([stopping, AbortSignal.timeout(options.timeoutMs), over.signal]);
  const report = (ok: boolean) => options.onRefresh?.({ ok, seconds: (performance.now() - started) / 1000 });
  let fresh: Snapshot;
  try {
    fresh = await readSource(options, state, from, limit);
    // What was read by name meanwhile may be newer than what this read saw of it.
    while (state.touched.size > 0) {
      const names = new Set(state.touched);
      state.touched.clear();
      fresh = await withModels(options, fresh, from, names, limit);
    }
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
  // Others may have left something while it was read: that is found out when it is left for them.
  Object.assign(state, { snapshot: fresh, revision, isWholeUnshared: true });
  state.connected = true;
  state.lastError = null;
  state.rounds += 1;
  report(true);
  if (state.origin === 'mlflow')
    await options.onSwap?.(fresh, { from: fresh.readAt, at: options.clock.now(), names: null });
  await persist(options, state, fresh);
  return fresh;
}

/**
 * Reads a few models by name and swaps the snapshot for one that has them as they are now. Nothing else of it is any
 * younger, so its age stays.
 * @returns false where the source has no such way, or there is nothing yet to put them into
 */
export async function refreshModels(
  options: MirrorOptions,
  state: State,
  names: ReadonlySet<string>,
  stopping: AbortSignal,
): Promise<boolean> {
  const { source, snapshot, origin } = state;
  if (!snapshot || origin === 'sample' || !source.readModels) return false;
  const limit = AbortSignal.any([stopping, AbortSignal.timeout(options.timeoutMs)]);
  const from = options.clock.now();
  const parts = await source.readModels([...names], snapshot.rows, limit);
  if (!parts) return false;
  const fresh = await splice(options, snapshot, names, parts);
  // A whole read was swapped in meanwhile, which may have seen these later than this one did.
  if (state.snapshot !== snapshot) return refreshModels(options, state, names, stopping);
  state.snapshot = fresh;
  if (options.shared) for (const name of names) state.unshared.set(name, from);
  if (state.inFlight) for (const name of names) state.touched.add(name);
  await options.onSwap?.(fresh, { from, at: options.clock.now(), names });
  return true;
}

async function withModels(
  options: MirrorOptions,
  snapshot: Snapshot,
  source: RegistrySource,
  names: ReadonlySet<string>,
  signal: AbortSignal,
): Promise<Snapshot> {
  const parts = await source.readModels?.([...names], snapshot.rows, signal);
  return parts ? splice(options, snapshot, names, parts) : snapshot;
}

export function splice(
  options: MirrorOptions,
  { rows, readAt }: Snapshot,
  names: ReadonlySet<string>,
  parts: ModelRows,
) {
  const read = new Set(parts.runs.map((run) => run.runId));
  const merged: RegistryRows = {
    ...rows,
    models: [...rows.models.filter((row) => !names.has(row.name)), ...parts.models],
    versions: [...rows.versions.filter((row) => !names.has(row.name)), ...parts.versions],
    runs: [...rows.runs.filter((run) => !read.has(run.runId)), ...parts.runs],
  };
  return buildSnapshot(merged, readAt, options.aliasTable);
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

export async function persist(options: MirrorOptions, state: State, { rows, readAt }: Snapshot): Promise<void> {
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

/** Opens the sample registry. @throws `internal` where it must not be shown */
export async function sampleOf(options: MirrorOptions): Promise<RegistrySource> {
  if (!options.openSample) throw new TowerError('internal', 'no registry and no sample configured');
  return options.openSample();
}

function asUnavailable(error: unknown, limit: AbortSignal, timeoutMs: number): TowerError {
  if (limit.aborted)
    return unavailable(`the registry could not be read within ${timeoutMs / 1000} s (CACHE_TIMEOUT_SECONDS)`, error);
  if (error instanceof TowerError) return error;
  return unavailable('the registry could not be read', error);
}
