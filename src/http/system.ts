import type { FastifyInstance } from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import { z } from 'zod';
import { unavailable } from '#kernel/errors.ts';
import type { System } from '../system.ts';
import { landingPage, prefersHtml } from './landing-page.ts';
import { errors, tags } from './route-schemas.ts';
import { pageHeaders } from './security-headers.ts';

const open = { access: 'public' } as const;
/** Kubernetes probes have no credentials; the answer tells only that the server is alive. */
const probed = { access: 'public', quota: 'health' } as const;
const reading = { access: 'read' } as const;

const time = z.iso.datetime().nullable();

const Root = z.object({
  message: z.string(),
  status: z.enum(['ready', 'starting']),
  version: z.string(),
  docs: z.string(),
});
const rootExample = (version: string) => ({ message: 'Control Tower API', status: 'ready', version, docs: '/docs' });

const SystemHealth = z.object({
  status: z.enum(['healthy', 'degraded', 'starting']),
  timestamp: z.iso.datetime(),
  version: z.string(),
  host: z.string(),
  uptime_seconds: z.int(),
  tower: z.string().describe('Name of this instance among those of one store'),
  store: z.enum(['sqlite', 'postgres']),
  store_error: z
    .string()
    .nullable()
    .describe('Why the store is unavailable; the registry is still answered from memory'),
  leads: z
    .boolean()
    .describe(
      'Whether this instance is the leader, which reads the registry and delivers webhooks; without PostgreSQL always true',
    ),
  leader: z.string().nullable().describe('Name of the leader; null if unknown'),
  jobs: z.array(
    z.object({
      name: z.string(),
      status: z.string(),
      last_finished_at: time,
      last_error: z.string().nullable(),
      next_run_at: time,
    }),
  ),
});

const healthExample = (version: string) => ({
  status: 'healthy',
  timestamp: '2026-11-20T12:31:00.000Z',
  version,
  host: 'tower-0',
  uptime_seconds: 3600,
  tower: 'tower-0-17-9f86d081',
  store: 'sqlite',
  store_error: null,
  leads: true,
  leader: 'tower-0-17-9f86d081',
  jobs: [
    {
      name: 'outbox',
      status: 'succeeded',
      last_finished_at: '2026-11-20T12:30:50.000Z',
      last_error: null,
      next_run_at: '2026-11-20T12:31:00.000Z',
    },
  ],
});

const example = <T extends z.ZodType>(schema: T, value: object): T => schema.meta({ examples: [value] });

/** Fields of the system and of every area. */
function healthSchema(version: string, parts: z.ZodObject[]) {
  const schema = SystemHealth.extend(Object.assign({}, ...parts.map(({ shape }) => shape)) as z.ZodRawShape);
  const examples = parts.map((part) => (part.meta()?.['examples'] as object[] | undefined)?.[0]);
  return schema.meta({ examples: [{ ...Object.assign({}, ...examples), ...healthExample(version) }] });
}

const ConfigSummary = z.object({
  mlflow: z.object({
    tracking_uri: z.string().nullable(),
    authentication: z.boolean(),
    workspace: z.string().nullable(),
  }),
  api: z.object({ host: z.string(), port: z.int(), version: z.string() }),
  features: z.object({
    mock_data_enabled: z.boolean(),
    debug_endpoints_enabled: z.boolean(),
    cache_enabled: z.boolean(),
    cache_persistence_enabled: z.boolean(),
  }),
  validation: z.object({ mlflow_configured: z.boolean(), api_port_valid: z.boolean(), log_level_valid: z.boolean() }),
  cache: z.object({
    refresh_interval_minutes: z.number(),
    max_age_hours: z.number(),
    timeout_seconds: z.int(),
    max_models_returned: z.int(),
  }),
});
const configExample = (version: string) => ({
  mlflow: { tracking_uri: 'https://mlflow.example.com', authentication: true, workspace: null },
  api: { host: '127.0.0.1', port: 8000, version },
  features: {
    mock_data_enabled: false,
    debug_endpoints_enabled: true,
    cache_enabled: true,
    cache_persistence_enabled: true,
  },
  validation: { mlflow_configured: true, api_port_valid: true, log_level_valid: true },
  cache: { refresh_interval_minutes: 30, max_age_hours: 24, timeout_seconds: 300, max_models_returned: 1000 },
});

const Probe = z.object({ status: z.literal('ok') }).meta({ id: 'Probe', examples: [{ status: 'ok' }] });
const MetricsPage = z
  .string()
  .describe('Prometheus text format, or OpenMetrics if requested by Accept')
  .meta({ examples: ['tower_monitored_models 2\n'] });

const about = <S extends object>(summary: string, rest: S) => ({ tags: [tags.system], summary, ...rest });

type Deps = {
  system: System;
  version: string;
  /** Health fields by area. */
  healthParts: z.ZodObject[];
};

/** The instance's own endpoints: version, health, configuration, metrics. */
export async function systemRoutes(instance: FastifyInstance, { system, version, healthParts }: Deps): Promise<void> {
  const Health = healthSchema(version, healthParts);
  const app = instance.withTypeProvider<ZodTypeProvider>();
  const root = about('About this service', { response: { 200: example(Root, rootExample(version)), ...errors() } });
  app.get('/', { config: open, schema: root }, async (request, reply) => {
    reply.header('vary', 'Accept');
    if (!prefersHtml(request.headers.accept ?? '')) return system.root();
    reply.headers(pageHeaders).type('text/html; charset=utf-8').serializer(String);
    return reply.send(landingPage(version) as never);
  });

  const health = about('Health of the service and the registry; always 200, see the body', {
    response: { 200: Health, ...errors() },
  });
  app.get('/health', { config: { access: 'read', quota: 'health' }, schema: health }, async () => system.health());

  const live = about('Liveness: the process answers', { response: { 200: Probe, ...errors() } });
  app.get('/healthz', { config: probed, schema: live }, async () => ({ status: 'ok' as const }));

  const ready = about('Readiness: a snapshot of the registry is available', {
    response: { 200: Probe, ...errors(503) },
  });
  app.get('/readyz', { config: probed, schema: ready }, async () => {
    if (!system.isReady()) throw unavailable('no snapshot of the registry yet');
    return { status: 'ok' as const };
  });

  const config = about('Effective settings, without secrets', {
    response: { 200: example(ConfigSummary, configExample(version)), ...errors() },
  });
  app.get('/config', { config: reading, schema: config }, async () => system.configSummary());

  const metrics = about('Metrics for Prometheus', {
    produces: ['text/plain', 'application/openmetrics-text'],
    response: { 200: MetricsPage, ...errors() },
  });
  app.get('/metrics', { config: { access: 'metrics', quota: 'metrics' }, schema: metrics }, async (request, reply) => {
    const { contentType, body } = await system.metricsPage(request.headers.accept ?? '');
    return reply.header('content-type', contentType).serializer(String).send(body);
  });
}
