import type { FastifyInstance } from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import { z } from 'zod';
import { abortOnDisconnect } from '#http/client-disconnect.ts';
import { sendReading } from '#http/replies.ts';
import { errors, modelName, modelVersion, tags } from '#http/route-schemas.ts';
import type { Drift } from '#services/drift/drift.ts';
import {
  BaselineList,
  BaselineOne,
  BaselineQuery,
  BaselineRemoved,
  BaselineRequest,
  ObservationsRequest,
  ObservationsTaken,
} from '#services/drift/observation-schemas.ts';
import { DriftOverview, DriftQuery, ModelDrift } from '#services/drift/schemas.ts';

const reading = { mirrored: true, access: 'read' } as const;
const about = (summary: string) => ({ tags: [tags.analysis], summary });
const one = z.object({ model_name: modelName, model_version: modelVersion });

/** Drift: performance of models after their training. */
export async function driftRoutes(instance: FastifyInstance, { drift }: { drift: Drift }): Promise<void> {
  const app = instance.withTypeProvider<ZodTypeProvider>();
  app.get(
    '/model/:model_name/drift',
    {
      config: reading,
      schema: {
        ...about('Drift of each version since its training, by day'),
        params: z.object({ model_name: modelName }),
        querystring: DriftQuery,
        response: { 200: ModelDrift, ...errors(400, 404, 503) },
      },
    },
    async (request, reply) =>
      sendReading(reply, await drift.ofModel(request.params.model_name, request.query.days, abortOnDisconnect(reply))),
  );
  app.get(
    '/models/drift',
    {
      config: reading,
      schema: {
        ...about('Drift of all monitored versions'),
        response: { 200: DriftOverview, ...errors() },
      },
    },
    async () => drift.overview(),
  );
  app.post(
    '/model/:model_name/:model_version/observations',
    {
      config: { access: 'record', quota: 'record' },
      schema: {
        ...about('Post values, samples or histograms from production; duplicates count once'),
        params: one,
        body: ObservationsRequest,
        response: { 201: ObservationsTaken, ...errors(400, 404, 503) },
      },
    },
    async (request, reply) => {
      const { model_name, model_version } = request.params;
      return reply.code(201).send(await drift.observe(model_name, model_version, request.body));
    },
  );
  baselineRoutes(instance, drift);
}

function baselineRoutes(instance: FastifyInstance, drift: Drift): void {
  const app = instance.withTypeProvider<ZodTypeProvider>();
  const path = '/model/:model_name/:model_version/baselines';
  app.get(
    path,
    {
      config: reading,
      schema: {
        ...about('List pinned baselines of a version'),
        params: one,
        response: { 200: BaselineList, ...errors(404, 503) },
      },
    },
    async (request) => drift.baselines(request.params.model_name, request.params.model_version),
  );
  app.put(
    path,
    {
      config: { access: 'approve' },
      schema: {
        ...about('Pin the baseline of a metric or feature'),
        params: one,
        body: BaselineRequest,
        response: { 200: BaselineOne, ...errors(400, 404, 503) },
      },
    },
    async (request) => {
      const { model_name, model_version } = request.params;
      return drift.pin(model_name, model_version, request.body, request.caller.name);
    },
  );
  app.delete(
    path,
    {
      config: { access: 'approve' },
      schema: {
        ...about('Unpin a baseline: the first days are the baseline again'),
        params: one,
        querystring: BaselineQuery,
        response: { 200: BaselineRemoved, ...errors(400, 404, 503) },
      },
    },
    async (request) => {
      const { model_name, model_version } = request.params;
      await drift.unpin(model_name, model_version, request.query.subject);
      return { message: `The baseline of ${request.query.subject} is no longer pinned` };
    },
  );
}
