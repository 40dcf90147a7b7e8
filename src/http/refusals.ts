import type { FastifyRequest } from 'fastify';
import { type Clock, steadyMs } from '#kernel/clock.ts';
import type { TowerError } from '#kernel/errors.ts';
import type { RootLog } from '#kernel/log.ts';
import type { Access } from '#services/access/access.ts';

/**
 * Refused credentials, in the log and in the audit log, without the credentials. Both are limited: guesses must not fill
 * a disk, nor hide what else happens.
 */
const windowMs = 60_000;
/** Records per window, of all addresses together. */
const maxRecords = 60;

export function createRefusals({ access, log, clock }: { access: Access; log: RootLog; clock: Clock }) {
  /** Refusals by address in the current window. */
  let counts = new Map<string, number>();
  let startedAt = Number.NEGATIVE_INFINITY;
  const next = (now: number) => {
    const more = [...counts.values()].reduce((sum, count) => sum + Math.max(0, count - 1), 0);
    if (more > 0) log.info({ refused: more }, 'more requests were refused in the last minute');
    counts = new Map();
    startedAt = now;
  };
  /** Notes a request that was refused with 401 or 403; of each address once per minute. */
  return (request: FastifyRequest, error: TowerError, status: 401 | 403): void => {
    const now = steadyMs(clock);
    if (now - startedAt >= windowMs) next(now);
    const { ip, method, caller, id, routeOptions } = request;
    const count = counts.get(ip) ?? 0;
    if (count > 0 || counts.size < maxRecords) counts.set(ip, count + 1);
    if (count > 0 || !counts.has(ip)) return;
    const action = `${method} ${routeOptions.url}`;
    log.info({ address: ip, action, actor: caller.name, status, request_id: id }, 'refused a request');
    access.audit
      .record({
        phase: 'done',
        actor: caller.name,
        via: caller.via,
        address: ip,
        action,
        target: {},
        details: { refused: error.code },
        status,
        requestId: id,
      })
      .catch((failure: unknown) => log.error({ err: failure, request_id: id }, 'failed to audit a refused request'));
  };
}
