import type { FastifyRequest } from 'fastify';
import { type Clock, steadyMs } from '#kernel/clock.ts';
import type { Access } from '#services/access/access.ts';
import { currentCaller } from './auth.ts';

/** Proxies and clients close connections that are silent for 30 s or more. */
const heartbeatMs = 15_000;
/** A revoked key or expired token ends its streams within the sum of this and the time of a check. */
const accessCheckMs = 10_000;

type Deps = { access: Access; clock: Clock };

/**
 * Server-sent frames with a heartbeat when there was none for 15 s, whatever their source waits for. Ends when the client
 * loses access.
 */
export async function* liveStream(
  { access, clock }: Deps,
  request: FastifyRequest,
  frames: AsyncGenerator<string>,
): AsyncGenerator<string> {
  let [sentAt, checkedAt] = [steadyMs(clock), steadyMs(clock)];
  let next = frames.next();
  try {
    for (;;) {
      const waitMs = Math.min(sentAt + heartbeatMs, checkedAt + accessCheckMs) - steadyMs(clock);
      const frame = await within(clock, waitMs, next);
      if (steadyMs(clock) - checkedAt >= accessCheckMs) {
        checkedAt = steadyMs(clock);
        if (!(await mayRead(access, request))) return;
      }
      if (frame?.done) return;
      if (frame) {
        next = frames.next();
        yield frame.value;
        sentAt = steadyMs(clock);
      } else if (steadyMs(clock) - sentAt >= heartbeatMs) {
        yield ': keep-alive\n\n';
        sentAt = steadyMs(clock);
      }
    }
  } finally {
    // Not awaited: the source may be waiting, until it learns that the client is gone.
    next.catch(() => undefined);
    frames.return(undefined).catch(() => undefined);
  }
}

const mayRead = async (access: Access, request: FastifyRequest): Promise<boolean> =>
  access.anonymousCaller !== null || access.mayDo(await currentCaller(access, request), 'read');

/** The result, or null after `ms`. */
async function within<T>(clock: Clock, ms: number, result: Promise<T>): Promise<T | null> {
  const over = new AbortController();
  try {
    const timeout = clock.sleep(Math.max(0, ms), over.signal).then(
      () => null,
      () => null,
    );
    return await Promise.race([result, timeout]);
  } finally {
    over.abort();
  }
}
