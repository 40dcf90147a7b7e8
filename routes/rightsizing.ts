import type { FastifyInstance } from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import { abortOnDisconnect } from '#http/client-disconnect.ts';
import { errors, tags } from '#http/route-schemas.ts';
import {
  BacktestAnswer,
  BacktestRequest,
  StrategyList,
  WorkloadBacktestRequest,
} from '#services/rightsizing/backtest/backtest-schemas.ts';
import type { Rightsizing } from '#services/rightsizing/rightsizing.ts';
import {
  BatchAnswer,
  BatchRequest,
  NamespaceParams,
  SizeAnswer,
  SizeParams,
  SizeRequest,
} from '#services/rightsizing/schemas.ts';

/** A POST that only computes: not audited. */
const asking = { access: 'read', audited: false } as const;
const about = (summary: string) => ({ tags: [tags.rightsizing], summary });

/** Recommendations for workloads, and backtests. */
export async function rightsizingRoutes(
  instance: FastifyInstance,
  { rightsizing }: { rightsizing: Rightsizing },
): Promise<void> {
  recommendationRoutes(instance, rightsizing);
  backtestRoutes(instance, rightsizing);
}

const path = '/api/v1/rightsizing';

function recommendationRoutes(instance: FastifyInstance, rightsizing: Rightsizing): void {
  const app = instance.withTypeProvider<ZodTypeProvider>();
  app.post(
    `${path}/:namespace/:service/recommendation`,
    {
      config: asking,
      schema: {
        ...about('Recommend CPU, memory and replicas of a workload, with explanations, ready to apply'),
        params: SizeParams,
        body: SizeRequest.nullish(),
        response: { 200: SizeAnswer, ...errors(400, 503) },
      },
    },
    async (request, reply) =>
      rightsizing.recommend(request.params, request.body ?? SizeRequest.parse({}), abortOnDisconnect(reply)),
  );
  app.post(
    `${path}/:namespace/recommendations`,
    {
      config: asking,
      schema: {
        ...about('Recommend for the workloads of a namespace, with the total saving'),
        params: NamespaceParams,
        body: BatchRequest.nullish(),
        response: { 200: BatchAnswer, ...errors(400, 404, 503) },
      },
    },
    async (request, reply) =>
      rightsizing.recommendAll(
        request.params.namespace,
        request.body ?? BatchRequest.parse({}),
        abortOnDisconnect(reply),
      ),
  );
}

function backtestRoutes(instance: FastifyInstance, rightsizing: Rightsizing): void {
  const app = instance.withTypeProvider<ZodTypeProvider>();
  app.post(
    `${path}/:namespace/:service/backtest`,
    {
      config: asking,
      schema: {
        ...about('Backtest all strategies on the usage of a workload'),
        operationId: 'postRightsizingWorkloadBacktest',
        params: SizeParams,
        body: WorkloadBacktestRequest.nullish(),
        response: { 200: BacktestAnswer, ...errors(400, 404, 503) },
      },
    },
    async (request, reply) =>
      rightsizing.backtestWorkload(
        request.params,
        request.body ?? WorkloadBacktestRequest.parse({}),
        abortOnDisconnect(reply),
      ),
  );
  app.post(
    `${path}/backtest`,
    {
      config: asking,
      schema: {
        ...about('Backtest all strategies on usage in the request'),
        body: BacktestRequest,
        response: { 200: BacktestAnswer, ...errors(400, 503) },
      },
    },
    async (request, reply) => rightsizing.backtest(request.body, abortOnDisconnect(reply)),
  );
  app.get(
    `${path}/strategies`,
    {
      config: { access: 'read' },
      schema: { ...about('List strategies'), response: { 200: StrategyList, ...errors() } },
    },
    async () => rightsizing.strategies(),
  );
}
