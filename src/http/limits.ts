import cors from '@fastify/cors';
import rateLimit from '@fastify/rate-limit';
import underPressure from '@fastify/under-pressure';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { Config } from '#config/config.ts';
import { TowerError } from '#kernel/errors.ts';

/** Liveness paths: never refused under load. */
const signsOfLife = new Set(['/healthz', '/readyz', '/health', '/metrics']);

/** CORS, rate limits per client address, and refusal under pressure. */
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
      ],
    });
  }
  await app.register(rateLimit, {
    max: (request: FastifyRequest) => limitOf(request, config),
    timeWindow: 60_000,
    keyGenerator: (request) => `${bucketOf(request)} ${request.ip}`,
    errorResponseBuilder: (_request, context) =>
      new TowerError(
        'limited',
        `More than ${context.max} requests per minute from this address (RATE_LIMIT_PER_MINUTE); retry in ${context.after}`,
        {
          details: { limit: context.max, window_seconds: 60 },
          retryAfterSeconds: Math.ceil(context.ttl / 1000),
        },
      ),
  });
  app.addHook('onSend', (request, reply, _payload, done) => {
    setRateLimitHeaders(request, reply);
    done();
  });
  await app.register(underPressure, {
    maxEventLoopDelay: config.MAX_EVENT_LOOP_DELAY_MS,
    pressureHandler: (request) => {
      if (signsOfLife.has(request.routeOptions.url ?? '')) return;
      throw new TowerError('unavailable', 'The server is overloaded; retry later', { retryAfterSeconds: 10 });
    },
  });
}

/** RateLimit headers of draft-ietf-httpapi-ratelimit-headers, derived from the older headers beside them. */
function setRateLimitHeaders(request: FastifyRequest, reply: FastifyReply): void {
  const limit = reply.getHeader('x-ratelimit-limit');
  if (limit === undefined) return;
  const policy = `"${bucketOf(request)}"`;
  const [left, seconds] = [reply.getHeader('x-ratelimit-remaining'), reply.getHeader('x-ratelimit-reset')];
  reply.header('ratelimit-policy', `${policy};q=${limit};w=60`).header('ratelimit', `${policy};r=${left};t=${seconds}`);
}

/** Health, metrics and everything else have separate counters, so that a dashboard never starves a probe. */
function bucketOf(request: FastifyRequest): 'health' | 'metrics' | 'api' {
  const path = request.routeOptions.url ?? '';
  if (path === '/metrics') return 'metrics';
  return signsOfLife.has(path) ? 'health' : 'api';
}

function limitOf(request: FastifyRequest, config: Config): number {
  const limits = {
    api: config.RATE_LIMIT_PER_MINUTE,
    metrics: config.RATE_LIMIT_METRICS_PER_MINUTE,
    health: config.RATE_LIMIT_HEALTH_PER_MINUTE,
  };
  return limits[bucketOf(request)];
}
