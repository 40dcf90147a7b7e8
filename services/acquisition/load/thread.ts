import { createHash } from 'node:crypto';
import { invalid } from '#kernel/errors.ts';
import { entryUrl } from '#kernel/program-files.ts';
import { createWorkerPool } from '#kernel/worker-pool.ts';
import type { LoadProgress, LoadRun, RunResult } from './generator.ts';
import type { LoadResult } from './results.ts';
import type { Scenario } from './scenario.ts';

/** Load tests and their results on a thread of their own, with so much memory: neither they nor the tower hold up the other. */

export const generators = ['open model', 'jmeter'] as const;

export type LoadTask = {
  /** With the open model the same users come at the same moments whenever a test of that name is run. */
  name: string;
  generator: (typeof generators)[number];
  scenario: Scenario;
  run: LoadRun;
  memoryMiB: number;
};

/**
 * Runs a load test; ends it at once where the signal aborts.
 * @throws TowerError `invalid` where no request was made, `unavailable` where its generator is not there or does not run
 */
export type Load = (
  task: LoadTask,
  signal: AbortSignal,
  onProgress: (progress: LoadProgress) => void,
) => Promise<RunResult>;

export const loadOnThread: Load = async ({ name, scenario, run, memoryMiB }, signal, onProgress) => {
  const seed = createHash('sha256').update(name).digest().readUInt32LE(0);
  return onThread<RunResult>('generateLoad', { scenario, run, seed }, memoryMiB, signal, onProgress);
};

/** What a JTL file shows: it may have hundreds of thousands of rows. @throws TowerError `invalid` where there is none */
export const judgeOnThread = async (file: string, memoryMiB: number, signal: AbortSignal): Promise<LoadResult> =>
  onThread<LoadResult>('judgeResults', { file }, memoryMiB, signal);

async function onThread<Result>(
  name: string,
  input: object,
  memoryMiB: number,
  signal: AbortSignal,
  onProgress?: (progress: LoadProgress) => void,
): Promise<Result> {
  const pool = createWorkerPool(entryUrl('load.worker'), { threads: 1, queue: 1, memoryMiB });
  try {
    const result = await pool.run<Result | { refused: string }>(name, input, {
      signal,
      ...(onProgress ? { onProgress: (now) => onProgress(now as LoadProgress) } : {}),
    });
    if (typeof result === 'object' && result !== null && 'refused' in result) throw invalid(result.refused);
    return result;
  } finally {
    await pool.close();
  }
}
