import type { FastifyInstance } from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import { z } from 'zod';
import { sendList } from '#http/replies.ts';
import { errors, modelName, modelVersion, tags } from '#http/route-schemas.ts';
import type { Monitoring } from '#services/monitoring/monitoring.ts';
import {
  DebugMonitored,
  MonitorAdded,
  MonitoredEntries,
  MonitorItemRequest,
  MonitorRemoved,
  MonitorRequest,
  MonitorStatus,
} from '#services/monitoring/schemas.ts';
import { ModelList, ModelListQuery } from '#services/registry/schemas.ts';

type Deps = {
  monitoring: Monitoring;
  connection: () => DebugMonitored['mlflow_status'];
  debugEnabled: boolean;
};

const params = z.object({ model_name: modelName, model_version: modelVersion });
const added = { 201: MonitorAdded, ...errors(400, 404, 503) };
const removed = { 200: MonitorRemoved, ...errors(404) };
const mirrored = { mirrored: true, access: 'read' } as const;
const operating = { mirrored: true, access: 'operate' } as const;
const schema = { tags: [tags.monitoring] };

/** Monitored versions: under each model, and as the collection /monitor. */
export async function monitoringRoutes(app: FastifyInstance, deps: Deps): Promise<void> {
  listRoutes(app, deps);
  modelRoutes(app, deps);
  collectionRoutes(app, deps);
  if (deps.debugEnabled) debugRoute(app, deps);
}

function listRoutes(instance: FastifyInstance, { monitoring }: Deps): void {
  const app = instance.withTypeProvider<ZodTypeProvider>();
  const response = { 200: ModelList, ...errors(400, 503) };
  const list = (path: string, type: 'classifier' | 'regressor' | null, summary: string) =>
    app.get(
      path,
      { config: mirrored, schema: { ...schema, summary, querystring: ModelListQuery, response } },
      async (request, reply) => sendList(request, reply, await monitoring.models(type, request.query)),
    );
  list('/models/monitored', null, 'Monitored model versions with their current state in MLflow');
  list('/models/monitored/classifier', 'classifier', 'Monitored classifiers');
  list('/models/monitored/regressor', 'regressor', 'Monitored regressors');
}

function modelRoutes(instance: FastifyInstance, { monitoring }: Deps): void {
  const app = instance.withTypeProvider<ZodTypeProvider>();
  app.post(
    '/models/:model_name/:model_version/monitor',
    {
      config: operating,
      schema: { ...schema, summary: 'Start monitoring a model version', params, body: MonitorRequest, response: added },
    },
    async (request, reply) => {
      const { model_name, model_version } = request.params;
      return reply.code(201).send(await monitoring.add(model_name, model_version, request.body));
    },
  );
  app.delete(
    '/models/:model_name/:model_version/monitor',
    { config: operating, schema: { ...schema, summary: 'Stop monitoring a model version', params, response: removed } },
    async (request) => monitoring.remove(request.params.model_name, request.params.model_version),
  );
  app.get(
    '/models/:model_name/:model_version/monitor/status',
    {
      config: mirrored,
      schema: {
        ...schema,
        summary: 'Whether a model version is monitored',
        params,
        response: { 200: MonitorStatus, ...errors() },
      },
    },
    async (request) => monitoring.status(request.params.model_name, request.params.model_version),
  );
}

function collectionRoutes(instance: FastifyInstance, { monitoring }: Deps): void {
  const app = instance.withTypeProvider<ZodTypeProvider>();
  app.get(
    '/monitor',
    {
      config: mirrored,
      schema: { ...schema, summary: 'List monitored versions', response: { 200: MonitoredEntries, ...errors() } },
    },
    async () => monitoring.entries(),
  );
  app.post(
    '/monitor',
    {
      config: operating,
      schema: { ...schema, summary: 'Start monitoring a model version', body: MonitorItemRequest, response: added },
    },
    async (request, reply) => {
      const { model_name, model_version, ...rest } = request.body;
      return reply.code(201).send(await monitoring.add(model_name, model_version, rest));
    },
  );
  app.delete(
    '/monitor/:model_name/:model_version',
    { config: operating, schema: { ...schema, summary: 'Stop monitoring a model version', params, response: removed } },
    async (request) => monitoring.remove(request.params.model_name, request.params.model_version),
  );
}

function debugRoute(instance: FastifyInstance, { monitoring, connection }: Deps): void {
  instance.withTypeProvider<ZodTypeProvider>().get(
    '/debug/monitored',
    {
      config: mirrored,
      schema: {
        ...schema,
        summary: 'Monitored versions with their state in the mirror',
        response: { 200: DebugMonitored, ...errors(503) },
      },
    },
    async () => {
      const list = await monitoring.entries();
      const { json } = await monitoring.models(null, {});
      return {
        monitored_count: list.length,
        monitored_list: list,
        mlflow_status: connection(),
        model_details: JSON.parse(json.toString()),
      };
    },
  );
}
