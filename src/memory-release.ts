import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import type { AreaJob } from '#areas/area.ts';

/** Heap above which garbage is collected while the process has little to do. V8 itself waits for further allocations. */
const minHeapBytes = 128 * 2 ** 20;
/** Share of one CPU below which the process has little to do. */
const idleShare = 0.2;

/** A job that returns memory to the system after a burst of work. */
export function memoryRelease(): AreaJob {
  let [cpu, at, collectedBytes] = [process.cpuUsage(), performance.now(), 0];
  return {
    name: 'memory',
    intervalMs: 15_000,
    timeoutMs: 15_000,
    firstAfterMs: 15_000,
    isRecorded: false,
    step: async () => {
      const [used, passedMs] = [process.cpuUsage(cpu), performance.now() - at];
      [cpu, at] = [process.cpuUsage(), performance.now()];
      const { heapTotal } = process.memoryUsage();
      const isIdle = (used.user + used.system) / 1000 / passedMs < idleShare;
      // Memory that a collection did not free is in use.
      if (!isIdle || heapTotal < minHeapBytes || heapTotal < collectedBytes * 1.2) return;
      setFlagsFromString('--expose-gc');
      const collect = runInNewContext('gc') as (options: { execution: 'async' }) => Promise<void>;
      await collect({ execution: 'async' });
      collectedBytes = process.memoryUsage().heapTotal;
    },
  };
}
