import type { FastifyInstance } from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import { z } from 'zod';
import type { Drift } from '../services/drift/drift.ts';
import { DriftQuery, ModelDrift } from '../services/drift/schemas.ts';
import { errors, modelName, tags } from '../src/http/openapi.ts';
import { sendReading } from '../src/http/replies.ts';

/** How a model does after its training. */
export async function driftRoutes(instance: FastifyInstance, { drift }: { drift: Drift }): Promise<void> {
  const app = instance.withTypeProvider<ZodTypeProvider>();
  app.get(
    '/model/:model_name/drift',
    {
      config: { mirrored: true, access: 'read' },
      schema: {
        tags: [tags.analysis],
        summary: 'Metrics of each version measured after training, by day',
        params: z.object({ model_name: modelName }),
        querystring: DriftQuery,
        response: { 200: ModelDrift, ...errors(400, 404, 503) },
      },
    },
    async (request, reply) => sendReading(reply, await drift.ofModel(request.params.model_name, request.query.days)),
  );
}
