import { createReadStream } from 'node:fs';
import { setTimeout as wait } from 'node:timers/promises';
import type { MessagePort } from 'node:worker_threads';
import { TowerError } from '#kernel/errors.ts';
import { seededRandom } from '#kernel/rng.ts';
import { type LoadRun, runLoad } from './generator.ts';
import { evaluateJtl } from './jtl.ts';
import type { Scenario } from './scenario.ts';

/** Worker thread of load tests. */

/** Runs to the end; aborted by terminating the thread. */
export const generateLoad = async ({
  scenario,
  run,
  seed,
  progress,
}: {
  scenario: Scenario;
  run: LoadRun;
  seed: number;
  progress: MessagePort | null;
}) => {
  // Current time at the start, then steady: a step of the system clock must not appear as latency.
  const origin = Date.now() - performance.now();
  return runLoad(scenario, run, {
    clock: {
      now: () => origin + performance.now(),
      sleep: (ms, signal) => wait(ms, undefined, signal ? { signal } : {}),
    },
    random: seededRandom(seed),
    fetch,
    signal: new AbortController().signal,
    onProgress: (now) => progress?.postMessage(now),
  }).catch(refusalOf);
};

export async function evaluateResults({ file }: { file: string }) {
  try {
    return await evaluateJtl(createReadStream(file));
  } catch (error) {
    return refusalOf(error);
  }
}

/** Errors lose their class between threads, so codes are passed as data. */
function refusalOf(error: unknown): { refused: string } {
  if (error instanceof TowerError && error.code === 'invalid') return { refused: error.message };
  throw error;
}
