import type { FastifyInstance } from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import { z } from 'zod';
import { errors, tags } from '#http/route-schemas.ts';
import {
  DeliveryList,
  DeliveryQuery,
  Done,
  WebhookCreated,
  WebhookList,
  WebhookOne,
  WebhookRequest,
} from '#services/registry/webhooks/webhook-schemas.ts';
import type { Webhooks } from '#services/registry/webhooks/webhooks.ts';

const path = '/api/v1/registry/webhooks';
const one = z.object({ webhook_id: z.string() });

/** Webhook subscriptions and their deliveries. */
export async function registryWebhooksRoutes(
  app: FastifyInstance,
  { webhooks }: { webhooks: Webhooks },
): Promise<void> {
  webhookRoutes(app, webhooks);
  deliveryRoutes(app, webhooks);
}

const admin = { access: 'admin' } as const;

const about = (summary: string) => ({ tags: [tags.changes], summary });

function webhookRoutes(instance: FastifyInstance, webhooks: Webhooks): void {
  const app = instance.withTypeProvider<ZodTypeProvider>();

  app.get(
    path,
    { config: admin, schema: { ...about('Webhooks'), response: { 200: WebhookList, ...errors() } } },
    async () => webhooks.list(),
  );
  app.post(
    path,
    {
      config: admin,
      schema: {
        ...about('Create a webhook for registry events; the response contains the signing secret, once'),
        body: WebhookRequest,
        response: { 201: WebhookCreated, ...errors(400) },
      },
    },
    async (request, reply) => {
      const made = await webhooks.create(request.body, request.caller.name);
      request.outcome = { id: made.id };
      return reply.code(201).send(made);
    },
  );
  app.get(
    `${path}/:webhook_id`,
    {
      config: admin,
      schema: { ...about('Get a webhook'), params: one, response: { 200: WebhookOne, ...errors(404) } },
    },
    async (request) => webhooks.get(request.params.webhook_id),
  );
  app.delete(
    `${path}/:webhook_id`,
    { config: admin, schema: { ...about('Delete a webhook'), params: one, response: { 200: Done, ...errors(404) } } },
    async (request) => {
      await webhooks.remove(request.params.webhook_id);
      return { message: 'The webhook was deleted; pending deliveries are cancelled' };
    },
  );
}

function deliveryRoutes(instance: FastifyInstance, webhooks: Webhooks): void {
  const app = instance.withTypeProvider<ZodTypeProvider>();
  app.post(
    `${path}/:webhook_id/test`,
    {
      config: admin,
      schema: {
        ...about('Send a test message like an event'),
        params: one,
        response: { 202: Done, ...errors(404) },
      },
    },
    async (request, reply) => {
      await webhooks.test(request.params.webhook_id);
      return reply.code(202).send({ message: 'The test message is queued; the list of deliveries has its outcome' });
    },
  );
  app.get(
    `${path}/:webhook_id/deliveries`,
    {
      config: admin,
      schema: {
        ...about('List deliveries of a webhook, newest first'),
        params: one,
        querystring: DeliveryQuery,
        response: { 200: DeliveryList, ...errors(400, 404) },
      },
    },
    async (request) => webhooks.deliveries(request.params.webhook_id, request.query),
  );
  app.post(
    `${path}/:webhook_id/deliveries/:delivery_id/replay`,
    {
      config: admin,
      schema: {
        ...about('Replay a delivery, under the same webhook-id'),
        params: z.object({ webhook_id: z.string(), delivery_id: z.string() }),
        response: { 202: Done, ...errors(404, 409) },
      },
    },
    async (request, reply) => {
      await webhooks.replay(request.params.webhook_id, request.params.delivery_id);
      return reply.code(202).send({ message: 'The delivery is queued again' });
    },
  );
}
