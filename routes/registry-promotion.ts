import type { FastifyInstance } from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import { z } from 'zod';
import { nextPage } from '#http/replies.ts';
import { errors, modelName, modelVersion, tags } from '#http/route-schemas.ts';
import type { Promotion } from '#services/registry/promotion/promotion.ts';
import {
  CompareQuery,
  Comparison,
  GateRequest,
  GateResult,
  HygieneQuery,
  HygieneReport,
} from '#services/registry/promotion/promotion-schemas.ts';

const reading = { mirrored: true, access: 'read' } as const;

/** Comparison, promotion gate and hygiene. */
export async function registryPromotionRoutes(
  instance: FastifyInstance,
  { promotion }: { promotion: Promotion },
): Promise<void> {
  const app = instance.withTypeProvider<ZodTypeProvider>();
  app.get(
    '/model/:model_name/compare',
    {
      config: reading,
      schema: {
        tags: [tags.analysis],
        summary: 'Compare champion and challenger: metrics, params, tags, and comparability',
        params: z.object({ model_name: modelName }),
        querystring: CompareQuery,
        response: { 200: Comparison, ...errors(400, 404, 503) },
      },
    },
    async (request) => promotion.compare(request.params.model_name, request.query.versions),
  );
  app.post(
    '/model/:model_name/:model_version/gate',
    {
      // It evaluates and changes nothing, so the permission to read is enough for a pipeline.
      config: { ...reading, audited: false },
      schema: {
        tags: [tags.analysis],
        summary: 'Evaluate the promotion gate for a version, rule by rule',
        params: z.object({ model_name: modelName, model_version: modelVersion }),
        // A baseline in the query would be ignored, and the gate with it.
        querystring: z.strictObject({}),
        body: GateRequest.nullish(),
        response: { 200: GateResult, ...errors(400, 404, 409, 503) },
      },
    },
    async (request) => promotion.gate(request.params.model_name, request.params.model_version, request.body ?? {}),
  );
  app.get(
    '/models/hygiene',
    {
      config: reading,
      schema: {
        tags: [tags.analysis],
        summary: 'Findings about the registry, such as missing owners or dangling aliases',
        querystring: HygieneQuery,
        response: { 200: HygieneReport, ...errors(400, 404, 503) },
      },
    },
    async (request, reply) => {
      const { total, nextPageToken, ...report } = await promotion.hygiene(request.query);
      nextPage(request, reply, total, nextPageToken);
      return report;
    },
  );
}
