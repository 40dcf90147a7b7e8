import type { Queue, QueuedJob } from './queue.ts';

/**
 * A job whenever it changes, as frames of server-sent events: `progress`, then its outcome. Ends with the job, or when the
 * signal aborts.
 */
export async function* jobFrames(
  queue: Pick<Queue, 'follow'>,
  job: { kind: string; id: string },
  over: AbortSignal,
  shown: (job: QueuedJob) => { status: QueuedJob['state'] },
): AsyncGenerator<string> {
  let number = 0;
  for await (const row of queue.follow(job.kind, job.id, over)) {
    const now = shown(row);
    const isOpen = now.status === 'queued' || now.status === 'running';
    number += 1;
    yield `id: ${number}\nevent: ${isOpen ? 'progress' : now.status}\ndata: ${JSON.stringify(now)}\n\n`;
  }
}
