import cors from '@fastify/cors';
import underPressure from '@fastify/under-pressure';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { Config } from '#config/config.ts';
import { TowerError } from '#kernel/errors.ts';
import { createQuota } from '#kernel/quota.ts';
import { requester } from '#kernel/requester.ts';
import { clientOf } from './client.ts';

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Requests that are counted together; `api` if missing. */
    quota?: keyof typeof settingOf;
    /** Whether senders drop their data on 429, and send it again on 503 (Prometheus): beyond a limit they get 503. */
    dropsOn429?: boolean;
  }
}

/** Settings of the limits per minute. Separate counters, so that a dashboard never starves a probe. */
const settingOf = {
  api: 'RATE_LIMIT_PER_MINUTE',
  health: 'RATE_LIMIT_HEALTH_PER_MINUTE',
  metrics: 'RATE_LIMIT_METRICS_PER_MINUTE',
  record: 'RATE_LIMIT_RECORD_PER_MINUTE',
  static: 'RATE_LIMIT_STATIC_PER_MINUTE',
} as const satisfies Record<string, keyof Config>;

/** Liveness paths: never refused under load. */
const signsOfLife = new Set(['/healthz', '/readyz', '/health', '/metrics']);

/** Counts a request of a client whose caller is known. @throws TowerError `limited` */
export type RequestLimiter = (request: FastifyRequest, reply: FastifyReply) => void;

/** Limits requests per client and minute; sets the RateLimit headers (draft-ietf-httpapi-ratelimit-headers). */
export function createRequestLimiter(config: Config): RequestLimiter {
  const quota = createQuota();
  return (request, reply) => {
    const name = request.routeOptions.config?.quota ?? 'api';
    const setting = settingOf[name];
    const limit = config[setting];
    const { remaining, isExceeded, resetSeconds } = quota.take(`${name} ${clientOf(request)}`, 1, limit);
    reply.headers({
      'ratelimit-policy': `"${name}";q=${limit};w=60`,
      ratelimit: `"${name}";r=${remaining};t=${resetSeconds}`,
      'x-ratelimit-limit': limit,
      'x-ratelimit-remaining': remaining,
      'x-ratelimit-reset': resetSeconds,
    });
    if (!isExceeded) return;
    const who = request.caller.via === 'none' ? 'this address' : request.caller.name;
    throw new TowerError(
      'limited',
      `More than ${limit} requests per minute from ${who} (${setting}); retry in ${resetSeconds} s`,
      { details: { limit, window_seconds: 60, setting }, retryAfterSeconds: resetSeconds },
    );
  };
}

/** CORS, and refusal under pressure. */
export async function registerLimits(app: FastifyInstance, config: Config): Promise<void> {
  if (config.CORS_ORIGINS.length > 0) {
    await app.register(cors, {
      origin: config.CORS_ORIGINS.includes('*') ? '*' : config.CORS_ORIGINS,
      methods: ['GET', 'HEAD', 'POST', 'PUT', 'DELETE'],
      exposedHeaders: [
        'age',
        'etag',
        'link',
        'ratelimit',
        'ratelimit-policy',
        'retry-after',
        'x-cache-stale',
        'x-data-source',
        'x-next-page-token',
        'x-request-id',
        'x-total-count',
        'x-warning',
      ],
    });
  }
  await app.register(underPressure, {
    maxEventLoopDelay: config.MAX_EVENT_LOOP_DELAY_MS,
    pressureHandler: (request) => {
      if (signsOfLife.has(request.routeOptions.url ?? '')) return;
      throw new TowerError('unavailable', 'The server is overloaded; retry later', { retryAfterSeconds: 10 });
    },
  });
  // Worker pools share their threads among clients by it. Set after the body was read, in whose events it would be lost.
  app.addHook('preHandler', (request, _reply, done) => requester.run(clientOf(request), done));
}
