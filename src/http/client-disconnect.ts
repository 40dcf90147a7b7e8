import type { FastifyReply } from 'fastify';
import { unavailable } from '#kernel/errors.ts';

/** Aborts when whoever asked is gone before there is an answer: nobody else is to wait for what nobody will read. */
export function abortOnDisconnect({ raw }: FastifyReply): AbortSignal {
  const gone = new AbortController();
  raw.once('close', () => {
    if (!raw.writableFinished) gone.abort(unavailable('whoever asked is gone'));
  });
  return gone.signal;
}
