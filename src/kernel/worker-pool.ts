import { MessageChannel } from 'node:worker_threads';
import { unavailable } from './errors.ts';

/** Threads for work that would block the event loop. */
export type WorkerPool = {
  /**
   * Runs the exported function `name` of the pool's file with `input` in a thread. When the signal aborts, the thread
   * is terminated at once. `onProgress` receives what the function posts to `input.progress`.
   * @throws the function's error; the signal's reason; `unavailable` if the waiting queue is full
   */
  run<Result>(name: string, input: object, options?: RunOptions): Promise<Result>;
  close(): Promise<void>;
};
type RunOptions = { signal?: AbortSignal; onProgress?: (message: unknown) => void };

/** Lazy: loads nothing and starts no thread before the first run; idle threads end after a while. */
export function createWorkerPool(
  file: URL,
  { threads, queue, memoryMiB }: { threads: number; queue: number /** Of each thread. */; memoryMiB?: number },
): WorkerPool {
  let pool: Promise<import('piscina').Piscina> | null = null;
  const open = async () => {
    const { Piscina } = await import('piscina');
    return new Piscina({
      filename: file.href,
      minThreads: 0,
      maxThreads: threads,
      maxQueue: queue,
      idleTimeout: 30_000,
      ...(memoryMiB === undefined ? {} : { resourceLimits: { maxOldGenerationSizeMb: memoryMiB } }),
    });
  };
  return {
    run: async <Result>(name: string, input: object, { signal, onProgress }: RunOptions = {}) => {
      pool ??= open();
      const { port, transferList, close } = progressPort(onProgress);
      try {
        const options = { name, transferList, ...(signal ? { signal } : {}) };
        return (await (await pool).run({ ...input, progress: port }, options)) as Result;
      } catch (error) {
        if (signal?.aborted) throw signal.reason;
        if (error instanceof Error && error.message === 'Task queue is at limit')
          throw unavailable('the queue of computations is full', error);
        throw error;
      } finally {
        close();
      }
    },
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
