import type { FastifyReply } from 'fastify';
import { unavailable } from '#kernel/errors.ts';

/** Aborts when the client disconnects before the answer: work nobody will read must not delay other requests. */
export function abortOnDisconnect({ raw }: FastifyReply): AbortSignal {
  const gone = new AbortController();
  raw.once('close', () => {
    if (!raw.writableFinished) gone.abort(unavailable('whoever asked is gone'));
  });
  return gone.signal;
}
