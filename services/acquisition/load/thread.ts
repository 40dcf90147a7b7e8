import { createWorkerPool } from '../../../src/kernel/worker-pool.ts';
import type { LoadProgress, RunResult } from './generator.ts';
import type { LoadTask } from './load.worker.ts';

/**
 * Runs a load test on a thread of its own, with so much memory; ends it at once where the signal aborts.
 * @returns null where no request was made
 */
export async function loadOnThread(
  { memoryMiB, ...task }: LoadTask & { memoryMiB: number },
  signal: AbortSignal,
  onProgress: (progress: LoadProgress) => void,
): Promise<RunResult | null> {
  const pool = createWorkerPool(new URL('./load.worker.ts', import.meta.url), { threads: 1, queue: 1, memoryMiB });
  try {
    return await pool.run<RunResult | null>('generateLoad', task, {
      signal,
      onProgress: (now) => onProgress(now as LoadProgress),
    });
  } finally {
    await pool.close();
  }
}
