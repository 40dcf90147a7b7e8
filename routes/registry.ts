import type { FastifyInstance } from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import { z } from 'zod';
import { sendList, sendReading } from '#http/replies.ts';
import { errors, modelName, tags } from '#http/route-schemas.ts';
import { CacheCleared, CacheInfo, CacheRefreshed } from '#services/registry/cache-schemas.ts';
import type { Registry } from '#services/registry/registry.ts';
import {
  ExperimentList,
  ModelList,
  ModelListQuery,
  PageQuery,
  RunList,
  RunsQuery,
  StageListQuery,
} from '#services/registry/schemas.ts';
import type { Stage } from '#services/registry/snapshot/stages.ts';

type Deps = { registry: Registry; now: () => number };

const mirrored = { mirrored: true, access: 'read' } as const;

/** Routes of the registry mirror. */
export async function registryRoutes(app: FastifyInstance, deps: Deps): Promise<void> {
  modelRoutes(app, deps);
  experimentRoutes(app, deps);
  cacheRoutes(app, deps);
}

function modelRoutes(instance: FastifyInstance, { registry }: Deps): void {
  const app = instance.withTypeProvider<ZodTypeProvider>();
  const listSchema = { tags: [tags.models], response: { 200: ModelList, ...errors(400, 503) } };

  const stageList = (path: string, stage: Stage, summary: string) =>
    app.get(
      path,
      { config: mirrored, schema: { ...listSchema, summary, querystring: StageListQuery } },
      async (request, reply) => sendList(request, reply, await registry.versions(stage, request.query)),
    );
  stageList('/models', 'Production', 'Model versions in production');
  stageList('/models/production', 'Production', 'Model versions in production');
  stageList('/models/staging', 'Staging', 'Model versions in staging');

  app.get(
    '/models/all',
    { config: mirrored, schema: { ...listSchema, summary: 'All model versions', querystring: ModelListQuery } },
    async (request, reply) => sendList(request, reply, await registry.versions(null, request.query)),
  );

  app.get(
    '/model/:model_name/versions',
    {
      config: mirrored,
      schema: {
        tags: [tags.analysis],
        summary: 'All versions of one model',
        params: z.object({ model_name: modelName }),
        querystring: ModelListQuery,
        response: { 200: ModelList, ...errors(400, 404, 503) },
      },
    },
    async (request, reply) => {
      const model = await registry.model(request.params.model_name);
      return sendList(request, reply, await registry.listVersions(model.versions, request.query));
    },
  );
}

function experimentRoutes(instance: FastifyInstance, { registry }: Deps): void {
  const app = instance.withTypeProvider<ZodTypeProvider>();
  app.get(
    '/experiments',
    {
      config: mirrored,
      schema: {
        tags: [tags.experiments],
        summary: 'All experiments, deleted ones included',
        querystring: PageQuery,
        response: { 200: ExperimentList, ...errors(400, 503) },
      },
    },
    async (request, reply) => sendList(request, reply, await registry.experiments(request.query)),
  );

  app.get(
    '/runs/:experiment_id',
    {
      config: mirrored,
      schema: {
        tags: [tags.experiments],
        summary: 'Runs of an experiment, newest first',
        params: z.object({ experiment_id: z.string() }),
        querystring: RunsQuery,
        response: { 200: RunList, ...errors(400, 404, 503) },
      },
    },
    async (request, reply) =>
      sendReading(reply, await registry.runs(request.params.experiment_id, request.query.limit)),
  );
}

function cacheRoutes(instance: FastifyInstance, { registry, now }: Deps): void {
  const app = instance.withTypeProvider<ZodTypeProvider>();
  app.get(
    '/cache/info',
    {
      config: mirrored,
      schema: {
        tags: [tags.cache],
        summary: 'The mirror and its cache file',
        response: { 200: CacheInfo, ...errors() },
      },
    },
    async () => registry.cacheInfo(),
  );

  app.post(
    '/cache/refresh',
    {
      config: { mirrored: true, access: 'operate' },
      schema: {
        tags: [tags.cache],
        summary: 'Refresh the mirror now',
        response: { 200: CacheRefreshed, ...errors(503) },
      },
    },
    async () => {
      const snapshot = await registry.reread();
      return {
        message: 'Cache refreshed successfully',
        models_synced: snapshot.versions.length,
        timestamp: new Date(now()).toISOString(),
        cache_stats: await registry.cacheStats(),
      };
    },
  );

  app.delete(
    '/cache/clear',
    {
      config: { access: 'operate' },
      schema: {
        tags: [tags.cache],
        summary: 'Delete the cache file',
        response: { 200: CacheCleared, ...errors(503) },
      },
    },
    async () => {
      const removed = await registry.clearCache();
      return {
        message: clearedText(removed),
        timestamp: new Date(now()).toISOString(),
        note: 'Next startup will fetch fresh data from MLflow',
      };
    },
  );
}

function clearedText(wasRemoved: boolean | null): string {
  if (wasRemoved === null)
    return 'Nothing to clear: no cache file is written (ENABLE_CACHE_PERSISTENCE=false, ENABLE_CACHE=false, or sample data)';
  return wasRemoved ? 'Persistent cache cleared successfully' : 'Nothing to clear: there was no cache file';
}
