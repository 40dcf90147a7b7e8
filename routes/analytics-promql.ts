import type { FastifyInstance } from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import { z } from 'zod';
import { abortOnDisconnect } from '#http/client-disconnect.ts';
import { compressed } from '#http/compression.ts';
import { usePrometheusErrors } from '#http/prometheus-errors.ts';
import { sendJson } from '#http/replies.ts';
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

const reading = { access: 'read', quota: 'metrics' } as const;
/** Grafana and promtool send queries as forms. */
const asking = { access: 'read', quota: 'metrics', audited: false } as const;
const faults = {
  400: PromqlFault.describe('Invalid query'),
  422: PromqlFault.describe('Unsupported query, or one that exceeds a limit; the construct or the limit is named'),
  503: PromqlFault.describe('The query exceeds METRICS_QUERY_TIMEOUT_SECONDS, or the store is unavailable'),
};
const success = <T>(data: T) => ({ status: 'success' as const, data });

/** Prometheus' query API for a declared subset of PromQL: Grafana's Prometheus data source and promtool work unchanged. */
export async function analyticsPromqlRoutes(
  instance: FastifyInstance,
  { analytics: { query }, version }: { analytics: Analytics; version: string },
): Promise<void> {
  usePrometheusErrors(instance);
  const app = instance.withTypeProvider<ZodTypeProvider>();
  const about = (summary: string) => ({ tags: [tags.analytics], summary });
  const instant = { ...about('Instant query in PromQL'), response: { 200: QueryAnswer, ...faults } };
  app.get(
    '/prometheus/api/v1/query',
    { config: reading, compress: compressed, schema: { ...instant, querystring: InstantQuery } },
    async (request, reply) => sendJson(reply, await query('promqlInstant', [request.query], abortOnDisconnect(reply))),
  );
  app.post(
    '/prometheus/api/v1/query',
    { config: asking, compress: compressed, schema: { ...instant, body: InstantQuery } },
    async (request, reply) => sendJson(reply, await query('promqlInstant', [request.body], abortOnDisconnect(reply))),
  );
  const range = { ...about('Range query in PromQL'), response: { 200: QueryAnswer, ...faults } };
  app.get(
    '/prometheus/api/v1/query_range',
    { config: reading, compress: compressed, schema: { ...range, querystring: RangeQuery } },
    async (request, reply) => sendJson(reply, await query('promqlRange', [request.query], abortOnDisconnect(reply))),
  );
  app.post(
    '/prometheus/api/v1/query_range',
    { config: asking, compress: compressed, schema: { ...range, body: RangeQuery } },
    async (request, reply) => sendJson(reply, await query('promqlRange', [request.body], abortOnDisconnect(reply))),
  );
  namesRoutes(instance, query, version);
}

function namesRoutes(instance: FastifyInstance, query: Analytics['query'], version: string): void {
  const app = instance.withTypeProvider<ZodTypeProvider>();
  const about = (summary: string) => ({ tags: [tags.analytics], summary });
  const series = { ...about('Labels of the series that match a selector'), response: { 200: SeriesAnswer, ...faults } };
  app.get(
    '/prometheus/api/v1/series',
    { config: reading, compress: compressed, schema: { ...series, querystring: SeriesQuery } },
    async (request, reply) => sendJson(reply, await query('promqlSeries', [request.query], abortOnDisconnect(reply))),
  );
  app.post(
    '/prometheus/api/v1/series',
    { config: asking, compress: compressed, schema: { ...series, body: SeriesQuery } },
    async (request, reply) => sendJson(reply, await query('promqlSeries', [request.body], abortOnDisconnect(reply))),
  );
  const labels = { ...about('Label names'), response: { 200: NamesAnswer, ...faults } };
  app.get(
    '/prometheus/api/v1/labels',
    { config: reading, schema: { ...labels, querystring: SeriesQuery } },
    async (request, reply) =>
      sendJson(reply, await query('promqlLabelNames', [request.query], abortOnDisconnect(reply))),
  );
  app.post(
    '/prometheus/api/v1/labels',
    { config: asking, schema: { ...labels, body: SeriesQuery } },
    async (request, reply) =>
      sendJson(reply, await query('promqlLabelNames', [request.body], abortOnDisconnect(reply))),
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
    async (request, reply) =>
      sendJson(reply, await query('promqlLabelValues', [request.params.name, request.query], abortOnDisconnect(reply))),
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
