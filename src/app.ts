import { randomUUID } from 'node:crypto';
import type { SecureContextOptions } from 'node:tls';
import Fastify, { type FastifyInstance } from 'fastify';
import { serializerCompiler } from 'fastify-type-provider-zod';
import type { Area } from '#areas/area.ts';
import type { Config } from '#config/config.ts';
import { registerAllowedHosts } from '#http/allowed-hosts.ts';
import { registerAuthentication } from '#http/auth.ts';
import { registerCompression } from '#http/compression.ts';
import { handleErrors, handleUnknownPaths, refuseAddress, refuseBytes, validatorCompiler } from '#http/errors.ts';
import { registerLenientQueries } from '#http/lenient-queries.ts';
import { createRequestLimiter, type RequestLimiter, registerLimits } from '#http/limits.ts';
import { refuseEncodings } from '#http/media.ts';
import { registerDocs } from '#http/openapi.ts';
import { dataHeaders } from '#http/security-headers.ts';
import { systemRoutes } from '#http/system.ts';
import { openTls } from '#http/tls.ts';
import type { Clock } from '#kernel/clock.ts';
import { invalid } from '#kernel/errors.ts';
import { exceededLimit } from '#kernel/json-size.ts';
import type { RootLog } from '#kernel/log.ts';
import type { Metrics } from '#kernel/metrics.ts';
import type { Access } from '#services/access/access.ts';
import type { System } from './system.ts';

type Parts = {
  config: Config;
  version: string;
  log: RootLog;
  clock: Clock;
  metrics: Metrics;
  areas: Area[];
  services: { access: Access };
  system: System;
};

/** The HTTP application: hooks, then the routes of each area. Not listening yet. */
export async function buildApp(parts: Parts): Promise<FastifyInstance> {
  const { config, version, log, clock, metrics, areas, system } = parts;
  const limit = createRequestLimiter(config);
  const tls = openTls(config);
  const app = openServer(parts, limit, tls?.options);
  tls?.reloadIn(app, log);
  handleErrors(app, clock.now);
  takeEmptyBodies(app);
  refuseEncodings(app);
  registerLenientQueries(app, config.MAX_MODELS_RETURNED);
  addHeaders(app);
  app.addHook('onResponse', (request, reply, done) => {
    const route = request.routeOptions.url ?? 'unmatched';
    metrics.httpSeconds.observe({ method: request.method, route, status: reply.statusCode }, reply.elapsedTime / 1000);
    done();
  });
  await registerLimits(app, config);
  await registerCompression(app);
  registerAuthentication(app, { access: parts.services.access, log, clock, limit });
  registerAllowedHosts(app, config);
  handleUnknownPaths(app, clock.now);
  await registerDocs(app, version);
  const healthParts = areas.flatMap((area) => (area.health ? [area.health.schema] : []));
  await app.register(systemRoutes, { system, version, healthParts });
  for (const area of areas) await area.routes?.(app);
  return app;
}

function openServer(
  { config, log, clock, areas }: Parts,
  limit: RequestLimiter,
  tls: SecureContextOptions | undefined,
): FastifyInstance {
  const [rewriteUrl, ...others] = areas.flatMap((area) => area.rewriteUrl ?? []);
  if (others.length > 0) throw new Error('more than one area rewrites URLs');
  return Fastify({
    // Fastify logs warnings and errors only: request counts and latencies are in /metrics.
    loggerInstance: log.child({}, { level: log.level === 'debug' ? 'debug' : 'warn' }),
    trustProxy: trustedProxies(config.TRUST_PROXY),
    bodyLimit: config.BODY_LIMIT_BYTES,
    // Names of 256 characters of any script, percent-encoded.
    routerOptions: { maxParamLength: 4096, ignoreTrailingSlash: true },
    // A child logger per request costs more than the request; log lines add the request id themselves.
    childLoggerFactory: (logger) => logger,
    genReqId: (request) => cleanRequestId(request.headers['x-request-id']) ?? randomUUID(),
    forceCloseConnections: 'idle',
    ...(rewriteUrl ? { rewriteUrl } : {}),
    // With these set, Fastify does not load its own compilers: 100 modules less at start.
    schemaController: {
      compilersFactory: {
        buildValidator: () => validatorCompiler as never,
        buildSerializer: () => serializerCompiler as never,
      },
    },
    frameworkErrors: refuseAddress(clock.now, limit),
    clientErrorHandler: refuseBytes(clock.now),
    // Timeout for receiving a whole request, however slowly its bytes arrive.
    requestTimeout: 30_000,
    // Node enforces the request timeout only if the headers timeout is shorter.
    [tls ? 'https' : 'http']: { ...tls, connectionsCheckingInterval: 1_000, headersTimeout: 15_000 },
  }) as unknown as FastifyInstance;
}

/** Number of trusted proxies, counted from this end, or their addresses. */
const trustedProxies = (setting: Config['TRUST_PROXY']) =>
  typeof setting === 'number' ? (_address: string, hop: number) => hop < setting : setting;

/** Headers of every answer. */
function addHeaders(app: FastifyInstance): void {
  app.addHook('onRequest', (request, reply, done) => {
    reply.headers(dataHeaders).header('x-request-id', request.id);
    done();
  });
  // During shutdown, a kept-alive connection would wait for a next request that must not come.
  let closing = false;
  app.addHook('preClose', async () => {
    closing = true;
  });
  app.addHook('onSend', (_request, reply, _payload, done) => {
    if (closing) reply.header('connection', 'close');
    done();
  });
}

/** Larger JSON bodies cost far more to process than to send. */
const maxJson = { levels: 32, containers: 50_000 };
const jsonParts = { levels: 'levels of nesting', containers: 'lists and objects' };

/** Clients send a content type with DELETE too; an empty body counts as none. */
function takeEmptyBodies(app: FastifyInstance): void {
  const parseJson = app.getDefaultJsonParser('error', 'error');
  app.addContentTypeParser('application/json', { parseAs: 'string' }, (request, body, done) => {
    if (body === '') return done(null, undefined);
    const exceeded = exceededLimit(String(body), maxJson);
    if (exceeded !== null)
      return done(invalid(`the body has more than ${maxJson[exceeded]} ${jsonParts[exceeded]}`, { parameter: 'body' }));
    return parseJson(request, String(body), done);
  });
}

/** Keeps the client's request id if it is safe in a log line. */
const cleanRequestId = (header: string | string[] | undefined): string | null =>
  typeof header === 'string' && /^[\w.-]{1,128}$/.test(header) ? header : null;
