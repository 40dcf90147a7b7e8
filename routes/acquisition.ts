import type { FastifyInstance } from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import type { Acquisition } from '../services/acquisition/acquisition.ts';
import {
  MetricsQuery,
  PrometheusStatus,
  RangeAnswer,
  RangeQuery,
  WorkloadMetrics,
  WorkloadParams,
} from '../services/acquisition/schemas.ts';
import { errors, tags } from '../src/http/openapi.ts';

const reading = { access: 'read' } as const;
const about = (summary: string) => ({ tags: [tags.rightsizing], summary });

/** What Prometheus knows of workloads. */
export async function acquisitionRoutes(
  instance: FastifyInstance,
  { acquisition }: { acquisition: Acquisition },
): Promise<void> {
  const app = instance.withTypeProvider<ZodTypeProvider>();
  app.get(
    '/api/v1/acquisition/prometheus',
    {
      config: reading,
      schema: {
        ...about('Whether Prometheus is configured and answers'),
        response: { 200: PrometheusStatus, ...errors() },
      },
    },
    async () => acquisition.testConnection(),
  );
  app.get(
    '/api/v1/acquisition/metrics/:namespace/:service',
    {
      config: reading,
      schema: {
        ...about('Metrics of a workload, column by column: those of its experiments, and more'),
        params: WorkloadParams,
        querystring: MetricsQuery,
        response: { 200: WorkloadMetrics, ...errors(400, 503) },
      },
    },
    async (request) => acquisition.metrics(request.params, request.query),
  );
  app.get(
    '/api/v1/acquisition/range',
    {
      config: reading,
      schema: {
        ...about('Any query over a stretch of time, on one grid; gaps stay gaps'),
        querystring: RangeQuery,
        response: { 200: RangeAnswer, ...errors(400, 503) },
      },
    },
    async (request) => acquisition.range(request.query),
  );
}
