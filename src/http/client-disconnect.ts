import type { FastifyReply } from 'fastify';
import { unavailable } from '#kernel/errors.ts';

/** Aborts when the client disconnects before the answer: abandoned work must not delay other requests. */
export function abortOnDisconnect({ raw }: FastifyReply): AbortSignal {
  const disconnected = new AbortController();
  raw.once('close', () => {
    if (!raw.writableFinished) disconnected.abort(unavailable('client disconnected'));
  });
  return disconnected.signal;
}
