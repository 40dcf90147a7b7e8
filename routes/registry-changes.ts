import type { FastifyInstance } from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import { z } from 'zod';
import { liveStream } from '#http/live-stream.ts';
import { nextPage, sendStream, untilClosed } from '#http/replies.ts';
import { errors, modelName, tags } from '#http/route-schemas.ts';
import type { Clock } from '#kernel/clock.ts';
import type { Access } from '#services/access/access.ts';
import type { Changes } from '#services/registry/changes.ts';
import {
  EventList,
  EventQuery,
  eventInfo,
  HistoryQuery,
  MlflowDelivery,
  ModelHistory,
  StreamQuery,
} from '#services/registry/journal/event-schemas.ts';

type Deps = { changes: Changes; access: Access; clock: Clock };

/** Changes of the registry: the journal, stage history, the event stream, and MLflow's own webhooks. */
export async function registryChangesRoutes(
  instance: FastifyInstance,
  { changes, access, clock }: Deps,
): Promise<void> {
  const app = instance.withTypeProvider<ZodTypeProvider>();
  eventRoutes(instance, { events: changes.events, stream: changes.stream, access, clock });
  app.get(
    '/model/:model_name/history',
    {
      config: { mirrored: true, access: 'read' },
      schema: {
        ...schema,
        summary: 'Versions in a stage over time, and the rollback target',
        params: z.object({ model_name: modelName }),
        querystring: HistoryQuery,
        response: { 200: ModelHistory, ...errors(400, 404) },
      },
    },
    async (request) => changes.history(request.params.model_name, request.query),
  );
  app.addHook('preClose', async () => changes.stopStreams());
  await app.register(mlflowWebhookRoute, { changes });
}

const schema = { tags: [tags.changes] };

type EventDeps = Pick<Changes, 'events' | 'stream'> & { access: Access; clock: Clock };

/** The journal and the event stream, of one registry or of all. */
export function eventRoutes(instance: FastifyInstance, { events, stream, access, clock }: EventDeps): void {
  const app = instance.withTypeProvider<ZodTypeProvider>();
  app.get(
    '/models/events',
    {
      config: { mirrored: true, access: 'read' },
      schema: {
        ...schema,
        summary: 'Registry events, newest first',
        querystring: EventQuery,
        response: { 200: EventList, ...errors(400) },
      },
    },
    async (request, reply) => {
      const { events: found, total, nextPageToken } = await events(request.query);
      nextPage(request, reply, total, nextPageToken);
      return found.map(eventInfo);
    },
  );
  app.get(
    '/models/stream',
    {
      config: { access: 'read' },
      schema: {
        ...schema,
        summary: 'Stream registry events (SSE), resumed with Last-Event-ID',
        querystring: StreamQuery,
        produces: ['text/event-stream'],
        response: { 200: EventFrames, ...errors(400, 503) },
      },
    },
    async (request, reply) => {
      const over = untilClosed(reply);
      const lastEventId = request.headers['last-event-id'];
      const frames = await stream(request.query, lastEventId?.toString(), over);
      return sendStream(reply, 'text/event-stream; charset=utf-8', liveStream({ access, clock }, request, frames));
    },
  );
}

const EventFrames = z
  .string()
  .describe(
    'One frame per event: id, event (its type) and data (a RegistryEvent); `event: gap` if missed events are past their retention; a comment every 15 s',
  )
  .meta({ examples: ['id: 412\nevent: model_version_alias.moved\ndata: {"id":412}\n\n'] });

/** In a scope of its own, because the signature covers the raw body. */
async function mlflowWebhookRoute(instance: FastifyInstance, { changes }: Pick<Deps, 'changes'>): Promise<void> {
  const app = instance.withTypeProvider<ZodTypeProvider>();
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, body, done) => done(null, body));
  app.post(
    '/webhooks/mlflow',
    {
      // It triggers a read, and changes nothing by itself.
      config: { access: 'signed', audited: false },
      schema: {
        tags: [tags.changes],
        summary: 'Receives MLflow’s registry webhooks: the model is read again at once',
        description:
          'Signed by MLflow (X-MLflow-Delivery-Id, X-MLflow-Timestamp, X-MLflow-Signature) with MLFLOW_WEBHOOK_SECRET.',
        response: { 202: MlflowDelivery, ...errors(400, 401, 403) },
      },
    },
    async (request, reply) => {
      const body = Buffer.isBuffer(request.body) ? request.body : Buffer.alloc(0);
      return reply.code(202).send(await changes.mlflowWebhook.take(request.headers, body));
    },
  );
}
