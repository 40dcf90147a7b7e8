import type { FastifyInstance } from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import { abortOnDisconnect } from '#http/client-disconnect.ts';
import { sendJson } from '#http/replies.ts';
import { errors, tags } from '#http/route-schemas.ts';
import {
  AnomaliesAnswer,
  AnomaliesQuery,
  BaselinesAnswer,
  MetricForecastAnswer,
  MetricForecastQuery,
  MetricsSummaryAnswer,
  MetricsSummaryQuery,
  TrendAnswer,
  TrendQuery,
} from '#services/analytics/analysis/analysis-schemas.ts';
import type { Analytics } from '#services/analytics/analytics.ts';
import {
  AggregateAnswer,
  AggregateQuery,
  CollectedPoints,
  PointsAnswer,
  PointsQuery,
  RecordAnswer,
  RecordRequest,
  SeriesList,
  SeriesQuery,
} from '#services/analytics/schemas.ts';

const reading = { access: 'read' } as const;
/** Points are not audited: an audit record per point would drown all others. */
const recording = { access: 'record', quota: 'record', audited: false } as const;
const about = (summary: string) => ({ tags: [tags.analytics], summary });

/** Metric points: recording, reading, aggregation. */
export async function analyticsRoutes(
  instance: FastifyInstance,
  { analytics }: { analytics: Analytics },
): Promise<void> {
  const app = instance.withTypeProvider<ZodTypeProvider>();
  app.post(
    '/api/v1/analytics/metrics',
    {
      config: recording,
      schema: {
        ...about('Record one point, or several that are validated independently'),
        body: RecordRequest,
        response: { 201: RecordAnswer, ...errors(400) },
      },
    },
    async (request, reply) => reply.code(201).send(await analytics.record(request.body)),
  );
  pointRoutes(instance, analytics);
  analysisRoutes(instance, analytics);
  app.get(
    '/api/v1/analytics/aggregate',
    {
      config: reading,
      schema: {
        ...about('Aggregate a metric by minute, hour, day, week or month of a time zone'),
        querystring: AggregateQuery,
        response: { 200: AggregateAnswer, ...errors(400, 503) },
      },
    },
    async (request, reply) =>
      sendJson(reply, await analytics.query('aggregate', [request.query], abortOnDisconnect(reply))),
  );
}

function pointRoutes(instance: FastifyInstance, analytics: Analytics): void {
  const app = instance.withTypeProvider<ZodTypeProvider>();
  app.get(
    '/api/v1/analytics/metrics',
    {
      config: reading,
      schema: {
        ...about('List points, newest first'),
        querystring: PointsQuery,
        response: { 200: PointsAnswer, ...errors(400, 503) },
      },
    },
    async (request, reply) =>
      sendJson(reply, await analytics.query('points', [request.query], abortOnDisconnect(reply))),
  );
  app.get(
    '/api/v1/metrics',
    {
      config: { access: 'read', quota: 'metrics' },
      schema: {
        ...about('List points as a plain array of {timestamp, component, metric_name, value, labels}, newest first'),
        operationId: 'getCollectedMetrics',
        querystring: PointsQuery,
        response: { 200: CollectedPoints, ...errors(400, 503) },
      },
    },
    async (request, reply) =>
      sendJson(reply, await analytics.query('collected', [request.query], abortOnDisconnect(reply))),
  );
  app.get(
    '/api/v1/analytics/series',
    {
      config: reading,
      schema: {
        ...about('List series'),
        querystring: SeriesQuery,
        response: { 200: SeriesList, ...errors(400, 503) },
      },
    },
    async (request, reply) =>
      sendJson(reply, await analytics.query('series', [request.query], abortOnDisconnect(reply))),
  );
}

/** Analyses of metric points. */
function analysisRoutes(instance: FastifyInstance, analytics: Analytics): void {
  const app = instance.withTypeProvider<ZodTypeProvider>();
  app.get(
    '/api/v1/analytics/anomalies',
    {
      config: reading,
      schema: {
        ...about('Anomalies with their reasons'),
        querystring: AnomaliesQuery,
        response: { 200: AnomaliesAnswer, ...errors(400, 503) },
      },
    },
    async (request, reply) =>
      sendJson(reply, await analytics.query('anomalies', [request.query], abortOnDisconnect(reply))),
  );
  forecastAndBaselineRoutes(instance, analytics);
}

/** Trends, forecasts and baselines. */
function forecastAndBaselineRoutes(instance: FastifyInstance, analytics: Analytics): void {
  const app = instance.withTypeProvider<ZodTypeProvider>();
  app.get(
    '/api/v1/analytics/trend',
    {
      config: reading,
      schema: {
        ...about('Trend of a metric: direction, slope, change points'),
        querystring: TrendQuery,
        response: { 200: TrendAnswer, ...errors(400, 503) },
      },
    },
    async (request, reply) =>
      sendJson(reply, await analytics.query('trend', [request.query], abortOnDisconnect(reply))),
  );
  app.get(
    '/api/v1/analytics/forecast',
    {
      config: reading,
      schema: {
        ...about('Forecast of a metric with prediction interval and backtest'),
        querystring: MetricForecastQuery,
        response: { 200: MetricForecastAnswer, ...errors(400, 404, 503) },
      },
    },
    async (request, reply) => analytics.forecast(request.query, abortOnDisconnect(reply)),
  );
  app.get(
    '/dashboard/analytics',
    {
      config: reading,
      schema: {
        ...about('Summary of all metrics of the recent past'),
        querystring: MetricsSummaryQuery,
        response: { 200: MetricsSummaryAnswer, ...errors(400, 503) },
      },
    },
    async (request, reply) =>
      sendJson(reply, await analytics.query('summary', [request.query], abortOnDisconnect(reply))),
  );
  app.get(
    '/api/v1/analytics/baselines',
    {
      config: reading,
      schema: {
        ...about('Baselines by series: overall, and by hour of the week'),
        querystring: SeriesQuery,
        response: { 200: BaselinesAnswer, ...errors(400, 503) },
      },
    },
    async (request, reply) =>
      sendJson(reply, await analytics.query('baselines', [request.query], abortOnDisconnect(reply))),
  );
}
