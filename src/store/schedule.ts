import type { Queue } from './queue.ts';

/** What is due once in so many milliseconds, counted from 1970; kinds of jobs that somebody handles. */
export type Scheduled = Record<string, number>;

/**
 * Queues the occurrence of each that is due now. It is queued once, whichever tower comes first, for its key is its time;
 * and it has one outcome, whatever becomes of the tower that takes it up. One that nobody queued in its time is left out.
 */
export async function queueOccurrences(queue: Queue, scheduled: Scheduled, now: number): Promise<void> {
  for (const [kind, everyMs] of Object.entries(scheduled)) {
    const at = new Date(Math.floor(now / everyMs) * everyMs).toISOString();
    await queue.add({ kind, subject: at, payload: { at }, key: `${kind}@${at}` });
  }
}
