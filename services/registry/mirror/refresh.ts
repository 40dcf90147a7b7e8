import type { Clock } from '#kernel/clock.ts';
import { TowerError, unavailable } from '#kernel/errors.ts';
import type { Log } from '#kernel/log.ts';
import type { Snapshot } from '../snapshot/snapshot.ts';
import type { RegistrySource } from '../sources/source.ts';
import type { DeletionGuard } from './mass-deletion.ts';
import type { MirrorState } from './mirror-state.ts';
import type { Reader } from './reader.ts';

export type RefreshOptions = {
  state: MirrorState;
  reader: Reader;
  /** The configured registry; null: none, only the sample is shown. */
  source: RegistrySource | null;
  deletions: DeletionGuard;
  /** Opens the sample registry; null: sample data must not be shown. */
  openSample: (() => Promise<RegistrySource>) | null;
  timeoutMs: number;
  stopping: AbortSignal;
  clock: Clock;
  log: Log;
  onRefresh?: ((outcome: { ok: boolean; seconds: number }) => void) | undefined;
  /** The source does not answer any more. */
  onFailure: () => void;
};

/** Refreshes the mirror: the whole registry, or some models. */
export function createRefresher(options: RefreshOptions) {
  const { state, reader, deletions, timeoutMs, stopping, clock } = options;
  /** Models read by name during a full read, which may have read them before that. */
  const touched = new Set<string>();
  state.subscribe((swap) => {
    if (swap.cause === 'models') for (const name of swap.names) touched.add(name);
  });
  return {
    /**
     * Reads the whole source and swaps the snapshot.
     * @param isForced - also rereads what is usually taken over
     * @throws `unavailable`
     */
    whole: async (isForced: boolean): Promise<Snapshot> => {
      const source = options.source ?? state.content().source;
      // Other instances may publish during the read: publishing this read detects that by the revision.
      const { revision } = state.content();
      const origin = options.source ? 'mlflow' : 'sample';
      const wasConnected = state.connected() === true;
      const { snapshot, swapped } = await timed(options, async (signal) => {
        touched.clear();
        const { snapshot: before, source: former } = state.content();
        let fresh = await reader.readAll(source, former === source ? before : null, state.rounds(), isForced, signal);
        while (touched.size > 0) {
          const names = new Set(touched);
          touched.clear();
          fresh = (await reader.readModels(source, fresh, names, signal)) ?? fresh;
        }
        if (former === source) requireBelievable(deletions, before, fresh);
        // Nothing is awaited between the last check of `touched` and the swap.
        return {
          snapshot: fresh,
          swapped: state.swap({ cause: 'read', from: fresh.readAt, snapshot: fresh, source, origin, revision }),
        };
      });
      if (!wasConnected)
        options.log.info({ versions: snapshot.versions.length, source: source.label }, 'read the registry');
      await swapped;
      return snapshot;
    },
    /**
     * Reads some models by name and swaps in a snapshot with their current state.
     * @returns false if only a whole read can tell: the source cannot read by name, there is no snapshot yet, or too many
     *   models are missing
     */
    models: async (names: ReadonlySet<string>): Promise<boolean> => {
      for (;;) {
        const { snapshot: before, source, origin } = state.content();
        if (!before || origin === 'sample') return false;
        const from = clock.now();
        const signal = AbortSignal.any([stopping, AbortSignal.timeout(timeoutMs)]);
        const snapshot = await reader.readModels(source, before, names, signal);
        if (!snapshot || deletions.isMass(before, snapshot)) return false;
        // A full read swapped in meanwhile may have read these models later than this call did: read again.
        const { revision } = state.content();
        if (await state.swap({ cause: 'models', from, names, snapshot, source, origin, revision }, before)) return true;
      }
    },
  };
}

/** The source answered what must not be believed yet. */
class DoubtedError extends TowerError {
  constructor(reason: string) {
    super('unavailable', reason, { retryAfterSeconds: 60 });
  }
}

function requireBelievable(deletions: DeletionGuard, before: Snapshot | null, fresh: Snapshot): void {
  const reason = deletions.check(before, fresh);
  if (reason !== null) throw new DoubtedError(reason);
}

function noteDoubt({ state, log }: RefreshOptions, reason: string): void {
  if (!state.isDoubted()) log.warn({ reason }, 'MLflow lost many models at once; serving the last confirmed state');
  state.doubted(reason);
}

/** Applies the timeout to one full read and reports its outcome. */
async function timed<T>(options: RefreshOptions, read: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const { state, timeoutMs, stopping, onRefresh } = options;
  const started = performance.now();
  // Aborts when the read ends, so that queued calls are not sent after one of them failed.
  const over = new AbortController();
  const limit = AbortSignal.any([stopping, AbortSignal.timeout(timeoutMs), over.signal]);
  const report = (ok: boolean) => onRefresh?.({ ok, seconds: (performance.now() - started) / 1000 });
  try {
    const result = await read(limit);
    report(true);
    return result;
  } catch (error) {
    const failure = asUnavailable(error, limit, timeoutMs);
    if (error instanceof DoubtedError) noteDoubt(options, failure.message);
    else state.failed(failure);
    report(false);
    if (!stopping.aborted) {
      options.onFailure();
      await showSample(options);
    }
    throw failure;
  } finally {
    over.abort(new Error('the read has ended'));
  }
}

/** Shows sample data in place of a registry that was never read, if the settings allow it. */
async function showSample({ state, reader, openSample, stopping, clock, log }: RefreshOptions): Promise<void> {
  if (state.content().snapshot || !openSample) return;
  const source = await openSample();
  const rows = await source.readRegistry(null, stopping);
  if (!rows) return;
  const snapshot = await reader.build(rows, clock.now());
  // Another instance's snapshot may have arrived meanwhile.
  if (!(await state.swap({ cause: 'sample', snapshot, source, origin: 'sample', revision: null }, null)))
    return source.close();
  const text = 'MLflow is unreachable: serving SAMPLE DATA until it answers (ENABLE_MOCK_DATA=true)';
  log.warn({ reason: state.lastError() }, text);
}

function asUnavailable(error: unknown, limit: AbortSignal, timeoutMs: number): TowerError {
  if (limit.aborted)
    return unavailable(`failed to read the registry within ${timeoutMs / 1000} s (CACHE_TIMEOUT_SECONDS)`, error);
  if (error instanceof TowerError) return error;
  return unavailable('failed to read the registry', error);
}
