import type { FastifyInstance } from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import { z } from 'zod';
import { nextPage } from '#http/replies.ts';
import { errors, modelName, modelVersion, tags } from '#http/route-schemas.ts';
import { conflict } from '#kernel/errors.ts';
import { flag } from '#kernel/query.ts';
import type { Promotion } from '#services/registry/promotion/promotion.ts';
import {
  CompareQuery,
  Comparison,
  GateQuery,
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
  gateRoutes(instance, promotion);
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

function gateRoutes(instance: FastifyInstance, promotion: Promotion): void {
  const app = instance.withTypeProvider<ZodTypeProvider>();
  const path = '/model/:model_name/:model_version/gate';
  const params = z.object({ model_name: modelName, model_version: modelVersion });
  const response = { 200: GateResult, ...errors(400, 404, 409, 503) };
  // It evaluates and changes nothing, so the permission to read is enough for a pipeline.
  const config = { ...reading, audited: false };
  app.get(
    path,
    {
      config,
      schema: {
        tags: [tags.analysis],
        summary: 'Evaluate the promotion gate for a version by the rules of GATE_RULES_FILE',
        params,
        querystring: GateQuery.extend({ baseline: GateRequest.shape.baseline }),
        response,
      },
    },
    async ({ params: { model_name, model_version }, query: { baseline, fail } }) => {
      const mustFail = flag('fail', fail);
      return orConflict(await promotion.gate(model_name, model_version, { baseline }), mustFail);
    },
  );
  app.post(
    path,
    {
      config,
      schema: {
        tags: [tags.analysis],
        summary: 'Evaluate the promotion gate for a version, rule by rule',
        params,
        // A baseline in the query would be ignored, and the gate with it.
        querystring: GateQuery,
        body: GateRequest.nullish(),
        response,
      },
    },
    async ({ params: { model_name, model_version }, query: { fail }, body }) => {
      const mustFail = flag('fail', fail);
      return orConflict(await promotion.gate(model_name, model_version, body ?? {}), mustFail);
    },
  );
}

/** @throws `conflict` with the result if the gate does not pass and the client wants it to fail the request */
function orConflict(result: GateResult, mustFail: boolean): GateResult {
  if (!mustFail || result.status === 'pass') return result;
  const reasons = result.rules.filter(({ passed }) => !passed).map(({ reason }) => reason);
  throw conflict(`${result.name} ${result.version} does not pass the gate: ${reasons.join('; ')}`, { gate: result });
}
