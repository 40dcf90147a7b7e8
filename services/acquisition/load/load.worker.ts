import { setTimeout as wait } from 'node:timers/promises';
import type { MessagePort } from 'node:worker_threads';
import { TowerError } from '../../../src/kernel/errors.ts';
import { seededRandom } from '../../../src/kernel/rng.ts';
import { type LoadRun, runLoad } from './generator.ts';
import type { Scenario } from './scenario.ts';

/** The load generator on a thread of its own: neither it nor the tower holds up the other. */

export type LoadTask = { scenario: Scenario; run: LoadRun; seed: number };

/** Runs to its end; the thread is ended where it is to stop before. Null where no request was made. */
export const generateLoad = async ({ scenario, run, seed, progress }: LoadTask & { progress: MessagePort | null }) =>
  runLoad(scenario, run, {
    clock: { now: () => Date.now(), sleep: (ms, signal) => wait(ms, undefined, signal ? { signal } : {}) },
    random: seededRandom(seed),
    fetch,
    signal: new AbortController().signal,
    onProgress: (now) => progress?.postMessage(now),
  }).catch((error: unknown) => {
    // An error of ours would arrive as one of nobody's.
    if (error instanceof TowerError && error.code === 'invalid') return null;
    throw error;
  });
