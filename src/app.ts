import { randomUUID } from 'node:crypto';
import Fastify, { type FastifyInstance } from 'fastify';
import { serializerCompiler } from 'fastify-type-provider-zod';
import { accessRoutes } from '../routes/access.ts';
import { acquisitionRoutes } from '../routes/acquisition.ts';
import { acquisitionJobRoutes } from '../routes/acquisition-jobs.ts';
import { acquisitionLoadRoutes } from '../routes/acquisition-load.ts';
import { acquisitionOverviewRoutes } from '../routes/acquisition-overview.ts';
import { analyticsRoutes } from '../routes/analytics.ts';
import { analyticsPromqlRoutes } from '../routes/analytics-promql.ts';
import { analyticsPushRoutes } from '../routes/analytics-push.ts';
import { dashboardRoutes } from '../routes/dashboard.ts';
import { driftRoutes } from '../routes/drift.ts';
import { forecastRoutes } from '../routes/forecast.ts';
import { forecastTrainingRoutes } from '../routes/forecast-training.ts';
import { monitoringRoutes } from '../routes/monitoring.ts';
import { registryRoutes } from '../routes/registry.ts';
import { registryChangesRoutes } from '../routes/registry-changes.ts';
import { estateRoutes } from '../routes/registry-estate.ts';
import { registryJudgementRoutes } from '../routes/registry-judgement.ts';
import { registryWebhooksRoutes } from '../routes/registry-webhooks.ts';
import { rightsizingRoutes } from '../routes/rightsizing.ts';
import { rightsizingApplyRoutes } from '../routes/rightsizing-apply.ts';
import type { Access } from '../services/access/access.ts';
import type { Acquisition } from '../services/acquisition/acquisition.ts';
import type { Analytics } from '../services/analytics/analytics.ts';
import type { Dashboard } from '../services/dashboard/dashboard.ts';
import type { Drift } from '../services/drift/drift.ts';
import type { Forecast } from '../services/forecast/forecast.ts';
import type { Training } from '../services/forecast/training.ts';
import type { Monitoring } from '../services/monitoring/monitoring.ts';
import type { Changes } from '../services/registry/changes.ts';
import type { Estate } from '../services/registry/estate.ts';
import type { Judgement } from '../services/registry/judgement.ts';
import type { Registry } from '../services/registry/registry.ts';
import type { Webhooks } from '../services/registry/webhooks.ts';
import type { Rightsizing } from '../services/rightsizing/rightsizing.ts';
import type { Config } from './config.ts';
import { registerDoor } from './http/auth.ts';
import { handleErrors, handleUnknownPaths, refuseAddress, refuseBytes, validatorCompiler } from './http/errors.ts';
import { registerLimits } from './http/limits.ts';
import { registerDocs } from './http/openapi.ts';
import { sayAge } from './http/replies.ts';
import { dataHeaders } from './http/security-headers.ts';
import { systemRoutes } from './http/system.ts';
import { leadToRegistry, refuseUnclear } from './http/which-registry.ts';
import type { Clock } from './kernel/clock.ts';
import type { RootLog } from './kernel/log.ts';
import type { Metrics } from './kernel/metrics.ts';
import type { System } from './system.ts';

/** What is there once for each registry. */
export type RegistryServices = {
  name: string;
  registry: Registry;
  changes: Changes;
  judgement: Judgement;
  monitoring: Monitoring;
  drift: Drift;
  dashboard: Dashboard;
};

/** Everything the HTTP surface stands on; what is of a registry is of the first one. */
export type Services = RegistryServices & {
  access: Access;
  webhooks: Webhooks;
  analytics: Analytics;
  forecast: Forecast;
  training: Training;
  acquisition: Acquisition;
  rightsizing: Rightsizing;
  system: System;
  registries: RegistryServices[];
  /** All registries in one view; null where there is only one. */
  estate: Estate | null;
};

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Answers of this route are made of the mirror and say how old it is. */
    mirrored?: boolean;
  }
}

type Options = { config: Config; version: string; log: RootLog; clock: Clock; metrics: Metrics };

/** The HTTP application: hooks, then one line per routes file. Not listening yet. */
export async function buildApp(
  services: Services,
  { config, version, log, clock, metrics }: Options,
): Promise<FastifyInstance> {
  const { access, system, webhooks, analytics, forecast, training, acquisition, rightsizing, estate } = services;
  const app = openServer(config, { log, clock }, estate);
  handleErrors(app, clock.now);
  takeEmptyBodies(app);

  addHeaders(app);
  app.addHook('onResponse', (request, reply, done) => {
    const route = request.routeOptions.url ?? 'unmatched';
    metrics.httpSeconds.observe({ method: request.method, route, status: reply.statusCode }, reply.elapsedTime / 1000);
    if (/^\/api\/v1\/(acquisition|rightsizing)\//.test(route)) {
      metrics.moraRequests.inc();
      metrics.moraSeconds.observe(reply.elapsedTime / 1000);
    }
    done();
  });

  await registerLimits(app, config);
  registerDoor(app, access, log);
  handleUnknownPaths(app, clock.now);
  await registerDocs(app, version);
  await app.register(systemRoutes, { system });
  await app.register(accessRoutes, { access });
  await app.register(registryWebhooksRoutes, { webhooks });
  await app.register(async (scope) => metricsRoutes(scope, analytics, version));
  await app.register(forecastRoutes, { forecast });
  await app.register(forecastTrainingRoutes, { training, access, now: clock.now });
  await app.register(acquisitionRoutes, { acquisition });
  await app.register(acquisitionOverviewRoutes, { acquisition });
  await app.register(acquisitionJobRoutes, { acquisition, access, now: clock.now });
  await app.register(acquisitionLoadRoutes, { acquisition, access, now: clock.now });
  await app.register(rightsizingRoutes, { rightsizing });
  await app.register(rightsizingApplyRoutes, { rightsizing, access, now: clock.now });
  const shared = { access, now: clock.now, debugEnabled: config.ENABLE_DEBUG_ENDPOINTS };
  if (!estate) {
    await app.register(async (scope) => routesOf(scope, services, shared));
    return app;
  }
  refuseUnclear(app);
  await app.register(estateRoutes, { estate, changes: services.changes, ...shared });
  for (const each of services.registries) {
    const prefix = `/registries/${each.name}`;
    await app.register(async (scope) => routesOf(scope, each, shared), { prefix });
  }
  return app;
}

function openServer(
  config: Config,
  { log, clock }: Pick<Options, 'log' | 'clock'>,
  estate: Services['estate'],
): FastifyInstance {
  return Fastify({
    // Warnings and errors only: what a tower does is in its own log lines, how often and how fast in /metrics.
    loggerInstance: log.child({}, { level: log.level === 'debug' ? 'debug' : 'warn' }),
    trustProxy: trustedProxies(config.TRUST_PROXY),
    bodyLimit: config.BODY_LIMIT_BYTES,
    // Names of 256 characters of any script, percent-encoded.
    routerOptions: { maxParamLength: 4096 },
    // A child logger per request costs more than the request; the request id is logged where something is logged.
    childLoggerFactory: (logger) => logger,
    genReqId: (request) => cleanRequestId(request.headers['x-request-id']) ?? randomUUID(),
    forceCloseConnections: 'idle',
    rewriteUrl: leadToRegistry(estate),
    // Said here, Fastify leaves its own compilers alone: a hundred modules less at the start.
    schemaController: {
      compilersFactory: {
        buildValidator: () => validatorCompiler as never,
        buildSerializer: () => serializerCompiler as never,
      },
    },
    frameworkErrors: refuseAddress(clock.now),
    clientErrorHandler: refuseBytes(clock.now),
    // A whole request within this time, however slowly its bytes come.
    requestTimeout: 30_000,
    // Node holds nobody to the one unless the other is shorter.
    http: { connectionsCheckingInterval: 1_000, headersTimeout: 15_000 },
  }) as unknown as FastifyInstance;
}

async function metricsRoutes(app: FastifyInstance, analytics: Analytics, version: string): Promise<void> {
  await app.register(analyticsRoutes, { analytics });
  await app.register(analyticsPushRoutes, { analytics });
  await app.register(analyticsPromqlRoutes, { analytics, version });
}

type Shared = { access: Access; now: () => number; debugEnabled: boolean };

/** Everything about one registry. */
async function routesOf(app: FastifyInstance, services: RegistryServices, shared: Shared): Promise<void> {
  const { registry, changes, judgement, monitoring, drift, dashboard } = services;
  app.addHook('onSend', (request, reply, _payload, done) => {
    if (request.routeOptions.config.mirrored && reply.statusCode < 400) sayAge(reply, registry.provenance());
    done();
  });
  await app.register(registryRoutes, { registry, now: shared.now });
  await app.register(registryChangesRoutes, { changes, ...shared });
  await app.register(registryJudgementRoutes, { judgement });
  await app.register(monitoringRoutes, {
    monitoring,
    connection: () => registry.status().connection,
    debugEnabled: shared.debugEnabled,
  });
  await app.register(driftRoutes, { drift });
  await app.register(dashboardRoutes, { dashboard });
}

/** So many proxies counted from this end, or those at these addresses. */
const trustedProxies = (setting: Config['TRUST_PROXY']) =>
  typeof setting === 'number' ? (_address: string, hop: number) => hop < setting : setting;

/** What every answer carries. */
function addHeaders(app: FastifyInstance): void {
  app.addHook('onRequest', (request, reply, done) => {
    reply.headers(dataHeaders).header('x-request-id', request.id);
    done();
  });
  // An open connection would keep a stopping tower waiting for a request that must not come any more.
  let closing = false;
  app.addHook('preClose', async () => {
    closing = true;
  });
  app.addHook('onSend', (_request, reply, _payload, done) => {
    if (closing) reply.header('connection', 'close');
    done();
  });
}

/** Clients send the content type with a DELETE too; no body is no body. */
function takeEmptyBodies(app: FastifyInstance): void {
  const parseJson = app.getDefaultJsonParser('error', 'error');
  app.addContentTypeParser('application/json', { parseAs: 'string' }, (request, body, done) =>
    body === '' ? done(null, undefined) : parseJson(request, String(body), done),
  );
}

/** A caller's own request id is kept where it cannot do harm in a log. */
const cleanRequestId = (header: string | string[] | undefined): string | null =>
  typeof header === 'string' && /^[\w.-]{1,128}$/.test(header) ? header : null;
