import { createHash } from 'node:crypto';
import { invalid } from '../../../src/kernel/errors.ts';
import { createWorkerPool } from '../../../src/kernel/worker-pool.ts';
import type { LoadProgress, RunResult } from './generator.ts';
import type { LoadTask } from './load.worker.ts';

/**
 * Runs a load test on a thread of its own, with so much memory; ends it at once where the signal aborts.
 * @param task - `name`: the same users come at the same moments whenever a test of that name is run
 * @throws TowerError `invalid` where no request was made
 */
export async function loadOnThread(
  { name, memoryMiB, ...task }: Omit<LoadTask, 'seed'> & { name: string; memoryMiB: number },
  signal: AbortSignal,
  onProgress: (progress: LoadProgress) => void,
): Promise<RunResult> {
  const pool = createWorkerPool(new URL('./load.worker.ts', import.meta.url), { threads: 1, queue: 1, memoryMiB });
  try {
    const seed = createHash('sha256').update(name).digest().readUInt32LE(0);
    const result = await pool.run<RunResult | null>(
      'generateLoad',
      { ...task, seed },
      { signal, onProgress: (now) => onProgress(now as LoadProgress) },
    );
    if (result === null) throw invalid('the load test made no request: it is too short for so few users');
    return result;
  } finally {
    await pool.close();
  }
}
