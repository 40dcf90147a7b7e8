import type { FastifyInstance } from 'fastify';
import { setFreshnessHeaders } from '#http/replies.ts';
import type { Clock } from '#kernel/clock.ts';
import { createWorkerPool } from '#kernel/worker-pool.ts';
import { driftRoutes } from '#routes/drift.ts';
import { monitoringRoutes } from '#routes/monitoring.ts';
import { registryRoutes } from '#routes/registry.ts';
import { allRegistriesRoutes } from '#routes/registry-all.ts';
import { registryChangesRoutes } from '#routes/registry-changes.ts';
import { createRegistryDispatch } from '#routes/registry-dispatch.ts';
import { registryPromotionRoutes } from '#routes/registry-promotion.ts';
import { registryWebhooksRoutes } from '#routes/registry-webhooks.ts';
import type { Access } from '#services/access/access.ts';
import { driftWorker, examineInThread } from '#services/drift/examine-in-thread.ts';
import { healthOf } from '#services/registry/health.ts';
import { RegistryHealthPart } from '#services/registry/health-schemas.ts';
import { createEvents } from '#services/registry/journal/events.ts';
import { createEventStream } from '#services/registry/journal/stream.ts';
import { createAllRegistries } from '#services/registry/lists/all-registries.ts';
import { webhookSender } from '#services/registry/webhooks/webhook-sender.ts';
import { createWebhooks } from '#services/registry/webhooks/webhooks.ts';
import type { Place } from '#store/store.ts';
import type { Area, AreaJob, Frame } from './area.ts';
import { registryGauges, streamGauge } from './registry-gauges.ts';
import {
  aliasTableOf,
  composeOne,
  jobOf,
  type RegistryParts,
  registryMetrics,
  type SharedParts,
} from './registry-one.ts';

/** Registers routes for each registry: without prefix if there is only one, else under `/registries/{name}`. */
export type Mount = (
  app: FastifyInstance,
  routes: (scope: FastifyInstance, parts: RegistryParts) => Promise<void>,
) => Promise<void>;

const minute = 60_000;

/**
 * Wires all registries with their mirror, monitoring, drift, promotion checks and journal, and the webhooks.
 * @throws TowerError `invalid` for a file of gate rules that breaks a rule
 */
export async function registryArea(frame: Frame, { access, place }: { access: Access; place: Place }) {
  const { config, secrets, clock } = frame;
  const shared = composeShared(frame, place);
  const metrics = registryMetrics(frame.metrics);
  const registries: RegistryParts[] = [];
  for (const setting of secrets.registries) {
    const parts = await composeOne(frame, shared, metrics, setting);
    frame.defer(`registry ${setting.name}`, () => parts.registry.stop());
    await parts.registry.start();
    registries.push(parts);
  }
  const all =
    registries.length > 1 ? createAllRegistries(registries, config.MAX_MODELS_RETURNED, aliasTableOf(config)) : null;
  const dispatch = all && createRegistryDispatch(all);
  const mount: Mount = async (app, routes) => mountEach(app, registries, dispatch, routes);
  const httpDeps = { access, clock, debugEnabled: config.ENABLE_DEBUG_ENDPOINTS };
  const users = secrets.registries.map(({ user }) => user ?? null);
  const area: Area = {
    name: 'registry',
    ...(dispatch ? { rewriteUrl: dispatch.rewriteUrl } : {}),
    routes: async (app) => {
      await app.register(registryWebhooksRoutes, { webhooks: shared.webhooks });
      if (all && dispatch) {
        dispatch.refuseUnclear(app);
        await app.register(allRegistriesRoutes, { all, changes: registries[0]!.changes, ...httpDeps });
      }
      await mount(app, (scope, parts) => routesOfOne(scope, parts, httpDeps));
    },
    jobs: jobsOf(frame, registries, shared),
    leaderJobs: () => registries.map((parts) => refreshJob(frame, parts)),
    scheduledJobs: [{ kind: 'registry-retention', everyMs: 360 * minute, run: () => prune(frame, shared, registries) }],
    outboxSenders: { webhook: { send: webhookSender(frame), maxAttempts: config.WEBHOOK_MAX_ATTEMPTS } },
    gauges: [...registryGauges(registries), streamGauge(shared.stream)],
    health: {
      schema: RegistryHealthPart,
      read: () => healthOf(registries.map((parts, i) => ({ ...parts, user: users[i] ?? null }))),
    },
    // One registry that can answer is enough; /health names the others.
    isReady: () => registries.some(({ registry }) => registry.status().snapshot !== null),
    start: () => {
      for (const { name, registry } of registries)
        frame.log.info({ registry: name, source: registry.status().sourceLabel }, 'mirroring');
    },
    abort: () => {
      for (const { registry } of registries) registry.abort();
    },
  };
  return { registries, all, mount, webhooks: shared.webhooks, area };
}

/** One journal and one set of webhooks for all registries. */
function composeShared(frame: Frame, place: Place): SharedParts {
  const { config, store, outbox, outbound, deriveKey, clock, defer } = frame;
  const events = createEvents(store);
  const stream = createEventStream({ events, maxClients: config.STREAM_MAX_CLIENTS });
  const pool = createWorkerPool(driftWorker, { threads: 2, queue: 256, perClient: 16, memoryMiB: 384 });
  defer('drift threads', () => pool.close());
  const timeoutMs = config.METRICS_QUERY_TIMEOUT_SECONDS * 1000;
  return {
    events,
    stream,
    webhooks: createWebhooks({ store, outbox, outbound, deriveKey, clock }),
    examine: examineInThread({ pool, place, timeoutMs }),
  };
}

async function mountEach(
  app: FastifyInstance,
  registries: RegistryParts[],
  dispatch: ReturnType<typeof createRegistryDispatch> | null,
  routes: Parameters<Mount>[1],
): Promise<void> {
  for (const parts of registries) {
    const prefix = dispatch ? `/registries/${parts.name}` : '';
    await app.register(
      async (scope) => {
        scope.addHook('onSend', (request, reply, _payload, done) => {
          if (request.routeOptions.config.mirrored && reply.statusCode < 400)
            setFreshnessHeaders(reply, parts.registry.provenance());
          done();
        });
        scope.addHook('onRoute', ({ method, url }) => {
          const plain = url.slice(prefix.length);
          // Lists over all registries answer under the same path.
          const isCombined = app.hasRoute({ method: [method].flat()[0]!, url: plain });
          dispatch?.add({ method, url: plain }, isCombined);
        });
        await routes(scope, parts);
      },
      { prefix },
    );
  }
}

async function routesOfOne(
  app: FastifyInstance,
  { registry, changes, promotion, monitoring, drift }: RegistryParts,
  { access, clock, debugEnabled }: { access: Access; clock: Clock; debugEnabled: boolean },
): Promise<void> {
  await app.register(registryRoutes, { registry, now: clock.now });
  await app.register(registryChangesRoutes, { changes, access, clock });
  await app.register(registryPromotionRoutes, { promotion });
  const connection = () => registry.status().connection;
  await app.register(monitoringRoutes, { monitoring, connection, debugEnabled });
  await app.register(driftRoutes, { drift });
}

function jobsOf({ config, store }: Frame, registries: RegistryParts[], { stream }: SharedParts): AreaJob[] {
  const intervalMs = Math.max(config.CACHE_REFRESH_INTERVAL_MINUTES, 1) * minute;
  const ofEach = ({ name, registry, drift }: RegistryParts): AreaJob[] => [
    {
      name: jobOf('registry-ping', name),
      intervalMs: minute,
      timeoutMs: 10_000,
      firstAfterMs: minute,
      step: (signal) => registry.ping(signal),
    },
    {
      name: jobOf('run-count', name),
      intervalMs,
      timeoutMs: 30 * minute,
      firstAfterMs: 2_000,
      step: (signal) => registry.countRuns(signal),
    },
    {
      name: jobOf('drift', name),
      intervalMs,
      timeoutMs: 10 * minute,
      firstAfterMs: 5_000,
      wakeOn: { topic: 'drift', about: name },
      step: (signal) => drift.sweep(signal),
    },
  ];
  const follow = ({ name, registry }: RegistryParts): AreaJob => ({
    name: jobOf('registry-follow', name),
    intervalMs: 10_000,
    timeoutMs: minute,
    firstAfterMs: 0,
    isRecorded: false,
    wakeOn: { topic: 'snapshots', about: name },
    step: () => registry.follow(),
  });
  const catchUp: AreaJob = {
    name: 'events',
    intervalMs: 10_000,
    timeoutMs: minute,
    firstAfterMs: 10_000,
    isRecorded: false,
    wakeOn: { topic: 'events' },
    step: () => stream.catchUp(),
  };
  return [...registries.flatMap(ofEach), catchUp, ...(store.engine === 'sqlite' ? [] : registries.map(follow))];
}

const refreshJob = ({ config }: Frame, { name, registry }: RegistryParts): AreaJob => ({
  name: jobOf('registry-refresh', name),
  intervalMs: config.CACHE_REFRESH_INTERVAL_MINUTES * minute,
  timeoutMs: config.CACHE_TIMEOUT_SECONDS * 1000 + 10_000,
  // With a cached snapshot, the first requests take precedence over the first read.
  firstAfterMs: registry.status().snapshot ? 1_000 : 0,
  nudgeOn: { topic: 'refresh', about: jobOf('registry-refresh', name) },
  step: () => registry.refresh(),
});

/** Deletes events and observations that are older than the settings allow. All registries share both tables. */
async function prune({ config, clock }: Frame, { events }: SharedParts, [first]: RegistryParts[]): Promise<void> {
  await events.prune(clock.now(), config.EVENTS_RETENTION_DAYS, config.EVENTS_MAX_CHATTER);
  await first?.drift.prune(clock.now() - config.OBSERVATIONS_RETENTION_DAYS * 1440 * minute);
}
