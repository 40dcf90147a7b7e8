import { createHash } from 'node:crypto';
import { invalid } from '#kernel/errors.ts';
import { entryUrl } from '#kernel/program-files.ts';
import { createWorkerPool } from '#kernel/worker-pool.ts';
import type { LoadProgress, LoadRun, RunResult } from './generator.ts';
import type { LoadResult } from './results.ts';
import type { Scenario } from './scenario.ts';

/**
 * Runs load tests and evaluates results on worker threads with a memory limit, so that they do not block the server.
 */

export const generators = ['open model', 'jmeter'] as const;

export type LoadTask = {
  /** With the open model, tests of the same name have the same users and arrival times. */
  name: string;
  generator: (typeof generators)[number];
  scenario: Scenario;
  run: LoadRun;
  memoryMiB: number;
};

/**
 * Runs a load test; ends it at once when the signal aborts.
 * @throws TowerError `invalid` if no request was made, `unavailable` if the generator is missing or fails
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

/**
 * Evaluates a JTL file, which may have hundreds of thousands of rows.
 * @throws TowerError `invalid` if it has no rows
 */
export const evaluateOnThread = async (file: string, memoryMiB: number, signal: AbortSignal): Promise<LoadResult> =>
  onThread<LoadResult>('evaluateResults', { file }, memoryMiB, signal);

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
