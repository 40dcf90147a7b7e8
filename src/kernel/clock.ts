import { setTimeout as wait } from 'node:timers/promises';

/** Time as a dependency, so that tests control it. All values in milliseconds. */
export type Clock = {
  /** Milliseconds since 1970, UTC. */
  now(): number;
  /**
   * Milliseconds since any fixed time, for durations: `now` jumps when the system clock is set, this does not. Missing: the
   * same as `now`, in tests.
   */
  steady?(): number;
  /** Resolves after `ms`; rejects with the signal's reason when aborted. Never keeps the process alive. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
};

export const systemClock: Clock = {
  now: () => Date.now(),
  steady: () => performance.now(),
  sleep: (ms, signal) => wait(ms, undefined, signal ? { signal, ref: false } : { ref: false }),
};

/** The time for measuring durations: differences of two values are not changed by steps of the system clock. */
export const steadyMs = (clock: Pick<Clock, 'now' | 'steady'>): number => clock.steady?.() ?? clock.now();

/** The last millisecond of the year 9999: clients do send microseconds or nanoseconds in place of milliseconds. */
const latest = 253_402_300_799_999;

/** The first millisecond of the year 0. */
const earliest = -62_167_219_200_000;

/** ISO 8601 with Z for a time in milliseconds; null if there is none or it is out of range. */
export const isoTime = (ms: number | null): string | null => (ms === null || !(ms > 0) ? null : isoTimeEver(ms));

/** The same for times that may be before 1970, where 0 is valid. */
export const isoTimeEver = (ms: number | null): string | null =>
  ms === null || !(ms >= earliest && ms <= latest) ? null : new Date(ms).toISOString();
