import { setTimeout as wait } from 'node:timers/promises';

/** Time as an argument, so that tests decide what it is. All figures in milliseconds. */
export type Clock = {
  /** Milliseconds since 1970, UTC. */
  now(): number;
  /** Resolves after `ms`; rejects with the signal's reason when aborted. Never keeps the process alive. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
};

export const systemClock: Clock = {
  now: () => Date.now(),
  sleep: (ms, signal) => wait(ms, undefined, signal ? { signal, ref: false } : { ref: false }),
};

/** The last millisecond of the year 9999: clients do log microseconds and nanoseconds where milliseconds belong. */
const latest = 253_402_300_799_999;

/** The first of the year 0. */
const earliest = -62_167_219_200_000;

/** ISO 8601 with Z for a time in milliseconds, or null where there is none or it cannot be one. */
export const isoTime = (ms: number | null): string | null => (ms === null || !(ms > 0) ? null : isoTimeEver(ms));

/** The same where a time may be before 1970, and 0 is one. */
export const isoTimeEver = (ms: number | null): string | null =>
  ms === null || !(ms >= earliest && ms <= latest) ? null : new Date(ms).toISOString();
