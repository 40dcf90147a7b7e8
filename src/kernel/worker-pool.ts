import { MessageChannel } from 'node:worker_threads';
import { invalid } from './errors.ts';
import { createFairQueue } from './fair-queue.ts';
import { requester } from './requester.ts';

/** Threads for work that would block the event loop. */
export type WorkerPool = {
  /**
   * Runs the exported function `name` of the pool's file with `input` in a thread. When the signal aborts, the thread
   * is terminated at once. `onProgress` receives what the function posts to `input.progress`.
   * @throws the function's error; the signal's reason; `limited` for too much work of one client, `unavailable` if too
   *   much waits, `invalid` for work that needs more memory than a thread has
   */
  run<Result>(name: string, input: object, options?: RunOptions): Promise<Result>;
  close(): Promise<void>;
};
type RunOptions = { signal?: AbortSignal; onProgress?: (message: unknown) => void };

/** `queue`: computations that wait for a thread; `perClient`: unfinished ones of one client; memory is that of each thread. */
type Limits = { threads: number; queue: number; perClient?: number; memoryMiB?: number };

/** Lazy: loads nothing and starts no thread before the first run; idle threads end after a while. */
export function createWorkerPool(file: URL, { threads, queue, perClient = queue, memoryMiB }: Limits): WorkerPool {
  let pool: Promise<import('piscina').Piscina> | null = null;
  const fair = createFairQueue({ slots: threads, waiting: queue, perClient });
  const open = async () => {
    const { Piscina } = await import('piscina');
    return new Piscina({
      filename: file.href,
      minThreads: 0,
      maxThreads: threads,
      idleTimeout: 30_000,
      ...(memoryMiB === undefined ? {} : { resourceLimits: { maxOldGenerationSizeMb: memoryMiB } }),
    });
  };
  const run = async <Result>(name: string, input: object, { signal, onProgress }: RunOptions): Promise<Result> => {
    pool ??= open();
    const { port, transferList, close } = progressPort(onProgress);
    try {
      const options = { name, transferList, ...(signal ? { signal } : {}) };
      return (await (await pool).run({ ...input, progress: port }, options)) as Result;
    } catch (error) {
      if (signal?.aborted) throw signal.reason;
      if ((error as NodeJS.ErrnoException).code === 'ERR_WORKER_OUT_OF_MEMORY')
        throw invalid(`the computation needs more than ${memoryMiB} MiB of memory: request less at once`);
      throw error;
    } finally {
      close();
    }
  };
  return {
    run: <Result>(name: string, input: object, options: RunOptions = {}) =>
      fair.run(requester.getStore(), () => run<Result>(name, input, options), options.signal),
    close: async () => {
      await (await pool)?.destroy();
    },
  };
}

function progressPort(onProgress: RunOptions['onProgress']) {
  if (!onProgress) return { port: null, transferList: [], close: () => undefined };
  const { port1, port2 } = new MessageChannel();
  port1.on('message', onProgress);
  return { port: port2, transferList: [port2], close: () => port1.close() };
}
