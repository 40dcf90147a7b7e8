import { readFileSync } from 'node:fs';
import { setTimeout as wait } from 'node:timers/promises';
import type { MessagePort } from 'node:worker_threads';
import { TowerError } from '../../../src/kernel/errors.ts';
import { seededRandom } from '../../../src/kernel/rng.ts';
import { type LoadRun, runLoad } from './generator.ts';
import { judgeJtl } from './results.ts';
import type { Scenario } from './scenario.ts';

/** What a load test does on its thread. Null where no request was made. */

/** Runs to its end; the thread is ended where it is to stop before. */
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
}) =>
  runLoad(scenario, run, {
    clock: { now: () => Date.now(), sleep: (ms, signal) => wait(ms, undefined, signal ? { signal } : {}) },
    random: seededRandom(seed),
    fetch,
    signal: new AbortController().signal,
    onProgress: (now) => progress?.postMessage(now),
  }).catch(noRequest);

export function judgeResults({ file }: { file: string }) {
  try {
    return judgeJtl(readFileSync(file, 'utf8'));
  } catch (error) {
    return noRequest(error);
  }
}

/** An error of ours would arrive as one of nobody's. */
function noRequest(error: unknown): null {
  if (error instanceof TowerError && error.code === 'invalid') return null;
  throw error;
}
