import type { Queue } from './queue.ts';

/** Kinds of jobs and their intervals in milliseconds, counted from 1970. Each kind needs a handler. */
export type Scheduled = Record<string, number>;

/**
 * Queues the current occurrence of each kind. The key is the occurrence's time, so it is queued once whichever instance
 * comes first, and it has one outcome even if its worker dies. Occurrences that were missed are not made up.
 */
export async function queueOccurrences(queue: Queue, scheduled: Scheduled, now: number): Promise<void> {
  for (const [kind, everyMs] of Object.entries(scheduled)) {
    const at = new Date(Math.floor(now / everyMs) * everyMs).toISOString();
    await queue.add({ kind, subject: at, payload: { at }, key: `${kind}@${at}` });
  }
}
