import { type Clock, systemClock } from '#kernel/clock.ts';
import { buildSnapshot, type Snapshot } from '#services/registry/snapshot/snapshot.ts';
import type { SourceOptions } from '#services/registry/sources/open-source.ts';
import type { RegistrySource } from '#services/registry/sources/source.ts';
import { whenTestIsOver } from './cleanup.ts';
import { openFor } from './open.ts';

export const noSignal = new AbortController().signal;
export const aliasTable = {
  Production: ['champion', 'production', 'prod'],
  Staging: ['staging', 'challenger'],
  Archived: ['archived'],
};

/** A source opened as the composition does; closed after the test. */
export function sourceFor(uri: string, more: Partial<SourceOptions> = {}): RegistrySource {
  const source = openFor(uri, { timeoutMs: 5_000, clock: instantClock(), ...more });
  whenTestIsOver(() => source.close());
  return source;
}

export async function snapshotOf(source: RegistrySource): Promise<Snapshot> {
  const rows = await source.readRegistry(null, noSignal);
  if (!rows) throw new Error('nothing was read');
  return buildSnapshot(rows, 0, aliasTable);
}

/** Real time, but waits end at once; `slept` has their lengths. */
export function instantClock(): Clock & { slept: number[] } {
  const slept: number[] = [];
  return {
    now: systemClock.now,
    slept,
    sleep: async (ms, signal) => {
      signal?.throwIfAborted();
      slept.push(ms);
    },
  };
}

/** Start time of tests in this process by their own clocks: results do not depend on the hour and day they run at. */
export const testStart = Date.UTC(2026, 10, 20, 6);
const startedAt = performance.now();
/** Time of `pacedClock`. Real servers have the system's time. */
export const testNow = (): number =>
  process.env['TEST_CLOCK'] === 'system' ? Date.now() : testStart + Math.round(performance.now() - startedAt);

/** A clock that starts at `testStart` and advances as fast as the real one. */
export const pacedClock = (): Clock => ({ now: testNow, sleep: systemClock.sleep });

/** A clock that advances only when told; sleepers wake when their time has come. */
export function handClock(startAt = Date.UTC(2026, 10, 20)) {
  let now = startAt;
  let sleepers: { at: number; wake: () => void }[] = [];
  return {
    now: () => now,
    sleep: (ms: number, signal?: AbortSignal) =>
      new Promise<void>((resolve, reject) => {
        if (signal?.aborted) reject(signal.reason as Error);
        sleepers.push({ at: now + ms, wake: resolve });
        signal?.addEventListener('abort', () => reject(signal.reason as Error), { once: true });
      }),
    /** Advances the time and lets everything due run to its next wait. */
    advance: async (ms: number) => {
      now += ms;
      const due = sleepers.filter((sleeper) => sleeper.at <= now);
      sleepers = sleepers.filter((sleeper) => sleeper.at > now);
      for (const sleeper of due) sleeper.wake();
      await settle();
    },
    pending: () => sleepers.map((sleeper) => sleeper.at - now),
  } satisfies Clock & Record<string, unknown>;
}

/** Lets everything run that needs neither time nor I/O. */
export async function settle(): Promise<void> {
  for (let turn = 0; turn < 20; turn += 1) await new Promise((resolve) => setImmediate(resolve));
}
