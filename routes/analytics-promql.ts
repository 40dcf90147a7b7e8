import type { FastifyInstance } from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import { z } from 'zod';
import { compressed } from '#http/compression.ts';
import { usePrometheusErrors } from '#http/prometheus-errors.ts';
import { errors, tags } from '#http/route-schemas.ts';
import type { Analytics } from '#services/analytics/analytics.ts';
import {
  InstantQuery,
  MetadataAnswer,
  NamesAnswer,
  PromqlFault,
  QueryAnswer,
  RangeQuery,
  SeriesAnswer,
  SeriesQuery,
} from '#services/analytics/promql/schemas.ts';

const reading = { access: 'read' } as const;
/** Grafana and promtool send queries as forms. */
const asking = { access: 'read', audited: false } as const;
const faults = {
  400: PromqlFault.describe('Invalid query'),
  422: PromqlFault.describe('Unsupported query; the construct is named'),
};
const success = <T>(data: T) => ({ status: 'success' as const, data });

/** Prometheus' query API for a declared subset of PromQL: Grafana's Prometheus data source and promtool work unchanged. */
export async function analyticsPromqlRoutes(
  instance: FastifyInstance,
  { analytics: { promql }, version }: { analytics: Analytics; version: string },
): Promise<void> {
  usePrometheusErrors(instance);
  const app = instance.withTypeProvider<ZodTypeProvider>();
  const about = (summary: string) => ({ tags: [tags.analytics], summary });
  const query = { ...about('Instant query in PromQL'), response: { 200: QueryAnswer, ...faults } };
  app.get(
    '/prometheus/api/v1/query',
    { config: reading, compress: compressed, schema: { ...query, querystring: InstantQuery } },
    async (request) => success(await (await promql()).instant(request.query)),
  );
  app.post(
    '/prometheus/api/v1/query',
    { config: asking, compress: compressed, schema: { ...query, body: InstantQuery } },
    async (request) => success(await (await promql()).instant(request.body)),
  );
  const range = { ...about('Range query in PromQL'), response: { 200: QueryAnswer, ...faults } };
  app.get(
    '/prometheus/api/v1/query_range',
    { config: reading, compress: compressed, schema: { ...range, querystring: RangeQuery } },
    async (request) => success(await (await promql()).range(request.query)),
  );
  app.post(
    '/prometheus/api/v1/query_range',
    { config: asking, compress: compressed, schema: { ...range, body: RangeQuery } },
    async (request) => success(await (await promql()).range(request.body)),
  );
  namesRoutes(instance, promql, version);
}

function namesRoutes(instance: FastifyInstance, promql: Analytics['promql'], version: string): void {
  const app = instance.withTypeProvider<ZodTypeProvider>();
  const about = (summary: string) => ({ tags: [tags.analytics], summary });
  const series = { ...about('Labels of the series that match a selector'), response: { 200: SeriesAnswer, ...faults } };
  app.get(
    '/prometheus/api/v1/series',
    { config: reading, compress: compressed, schema: { ...series, querystring: SeriesQuery } },
    async (request) => success(await (await promql()).series(request.query)),
  );
  app.post(
    '/prometheus/api/v1/series',
    { config: asking, compress: compressed, schema: { ...series, body: SeriesQuery } },
    async (request) => success(await (await promql()).series(request.body)),
  );
  const labels = { ...about('Label names'), response: { 200: NamesAnswer, ...faults } };
  app.get(
    '/prometheus/api/v1/labels',
    { config: reading, schema: { ...labels, querystring: SeriesQuery } },
    async (request) => success(await (await promql()).labelNames(request.query)),
  );
  app.post('/prometheus/api/v1/labels', { config: asking, schema: { ...labels, body: SeriesQuery } }, async (request) =>
    success(await (await promql()).labelNames(request.body)),
  );
  app.get(
    '/prometheus/api/v1/label/:name/values',
    {
      config: reading,
      schema: {
        ...about('Values of a label'),
        params: z.object({ name: z.string() }),
        querystring: SeriesQuery,
        response: { 200: NamesAnswer, ...faults },
      },
    },
    async (request) => success(await (await promql()).labelValues(request.params.name, request.query)),
  );
  app.get(
    '/prometheus/api/v1/metadata',
    {
      config: reading,
      schema: {
        ...about('Help texts of metrics: always empty, none are stored'),
        response: { 200: MetadataAnswer, ...errors() },
      },
    },
    async () => success({}),
  );
  app.get(
    '/prometheus/api/v1/status/buildinfo',
    { config: reading, schema: { ...about('Version of the server'), response: { 200: MetadataAnswer, ...errors() } } },
    async () => success({ application: 'control-tower', version }),
  );
}
