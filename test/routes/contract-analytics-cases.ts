import { request, snap } from '../support/remote-write.ts';
import { testNow } from '../support/sources.ts';
import type { Case } from './contract-change-cases.ts';

const point = { metric: 'cpu_usage', resource: 'node-1', value: 45.5, labels: { host: 'server1' } };
const post = 'POST /api/v1/analytics/metrics';
/** A week of points, ten minutes apart. */
export const metrics = Array.from({ length: 1000 }, (_, i) => ({
  metric_type: 'CPU_USAGE',
  resource_id: 'node-1',
  value: 40 + i / 100 + 5 * Math.sin(i / 4) + (i % 3),
  timestamp: new Date(testNow() - (1000 - i) * 600_000).toISOString(),
}));

/** Kinds of requests that are counted by themselves, as in the names of their settings. */
export const quotas = ['', 'HEALTH_', 'METRICS_', 'RECORD_'];

/** Error types of Prometheus' API by status. */
export const prometheusErrors: Record<number, string> = { 400: 'bad_data', 422: 'execution', 503: 'timeout' };

/** Settings with one thread of each kind, and short timeouts. */
export const impatient = {
  RATE_LIMIT_POINTS_PER_MINUTE: '1',
  FORECAST_TIMEOUT_SECONDS: '1',
  FORECAST_WORKERS: '1',
  METRICS_QUERY_TIMEOUT_SECONDS: '1',
  METRICS_QUERY_THREADS: '1',
};

/** A query that takes longer than any timeout of a test. */
export const endlessQuery = {
  query: Array.from({ length: 190 }, (_, i) => `label_replace(vector(1), "a", "${i}", "b", ".*")`).join(' or '),
  start: '0',
  end: '10000',
  step: '1',
};

/** Queries of metric points while another one occupies the only thread. */
const timeouts = [
  '/api/v1/analytics/metrics',
  '/api/v1/metrics',
  '/api/v1/analytics/series',
  '/api/v1/analytics/aggregate?metric=x',
  '/api/v1/analytics/anomalies?metric=x',
  '/api/v1/analytics/trend?metric=x',
  '/api/v1/analytics/forecast?metric=x',
  '/dashboard/analytics',
  '/api/v1/analytics/baselines',
  '/prometheus/api/v1/query?query=up',
  '/prometheus/api/v1/query_range?query=up&start=0&end=60&step=15',
  '/prometheus/api/v1/series?match[]=up',
  '/prometheus/api/v1/labels',
  '/prometheus/api/v1/label/job/values',
].map((path): Case => ({ call: `GET ${path}`, world: 'impatient', status: 503 }));

/** A route of Prometheus' API, by GET and by form: valid, invalid, and unsupported. */
function promql(name: string, query: string, form: object, wrong: string, unanswered: string): Case[] {
  const path = `/prometheus/api/v1/${name}`;
  const asForm = (text: string) => Object.fromEntries(new URLSearchParams(text));
  return [
    { call: `GET ${path}?${query}`, status: 200 },
    { call: `POST ${path}`, body: form, status: 200 },
    { call: `GET ${path}?${wrong}`, status: 400 },
    { call: `POST ${path}`, body: asForm(wrong), status: 400 },
    { call: `GET ${path}?${unanswered}`, status: 422 },
    { call: `POST ${path}`, body: asForm(unanswered), status: 422 },
    { call: `POST ${path}`, body: form, world: 'impatient', status: 503 },
  ];
}

/** Metric points. */
export const analyticsCases: Case[] = [
  ...timeouts,
  { call: post, body: point, status: 201 },
  { call: post, body: { metrics: [point, { ...point, value: 'x' }] }, status: 201 },
  { call: post, body: { ...point, value: null }, status: 400, parameter: 'value' },
  { call: post, body: { value: 1, resource: 'a' }, status: 400, parameter: 'metric' },
  { call: post, body: { metrics: [] }, status: 400, parameter: 'metrics' },
  { call: 'GET /api/v1/analytics/metrics', world: 'with metrics', status: 200 },
  {
    call: 'GET /api/v1/analytics/metrics?limit=0',
    status: 400,
    parameter: 'limit',
  },
  { call: 'GET /api/v1/metrics?component=node-1&limit=5', world: 'with metrics', status: 200 },
  { call: 'GET /api/v1/metrics?start=yesterday', status: 400, parameter: 'start' },
  { call: 'GET /api/v1/analytics/series', world: 'with metrics', status: 200 },
  { call: 'GET /api/v1/analytics/series?label=x', status: 400, parameter: 'label' },
  { call: 'GET /api/v1/analytics/aggregate?metric=CPU_USAGE&granularity=day', world: 'with metrics', status: 200 },
  { call: 'GET /api/v1/analytics/aggregate', status: 400, parameter: 'metric' },
  { call: 'GET /api/v1/analytics/anomalies?metric=CPU_USAGE', world: 'with metrics', status: 200 },
  { call: 'GET /api/v1/analytics/anomalies?metric=CPU_USAGE&threshold_stddevs=1', world: 'with metrics', status: 200 },
  {
    call: 'GET /api/v1/analytics/anomalies?metric=x&method=magic',
    status: 400,
    parameter: 'method',
  },
  { call: 'GET /api/v1/analytics/trend?metric=CPU_USAGE', world: 'with metrics', status: 200 },
  { call: 'GET /api/v1/analytics/trend?metric=CPU_USAGE', status: 200 },
  {
    call: 'GET /api/v1/analytics/trend?metric=x&time_window=5',
    status: 400,
    parameter: 'time_window',
  },
  { call: 'GET /api/v1/analytics/forecast?metric=CPU_USAGE', world: 'with metrics', status: 200 },
  { call: 'GET /api/v1/analytics/forecast?metric=x&periods_ahead=0', status: 400, parameter: 'periods_ahead' },
  { call: 'GET /api/v1/analytics/forecast?metric=x', status: 404 },
  { call: 'GET /dashboard/analytics?time_window=86400', world: 'with metrics', status: 200 },
  {
    call: 'GET /dashboard/analytics?time_window=1',
    status: 400,
    parameter: 'time_window',
  },
  { call: 'GET /api/v1/analytics/baselines', world: 'with metrics', status: 200 },
  { call: 'GET /api/v1/analytics/baselines?label=x', status: 400, parameter: 'label' },
  // A WriteRequest of no series, by snappy: its length, 0.
  { call: 'POST /prometheus/api/v1/write', body: Buffer.of(0), status: 204 },
  {
    call: 'POST /prometheus/api/v1/write',
    body: Buffer.of(9, 9),
    status: 400,
    parameter: 'body',
  },
  {
    call: 'POST /prometheus/api/v1/write',
    world: 'impatient',
    body: Buffer.from(
      snap(
        request([
          {
            labels: [['__name__', 'x']],
            samples: [
              [0, 0n],
              [1, 0n],
            ],
          },
        ]),
      ),
    ),
    status: 503,
  },
  {
    call: 'POST /prometheus/api/v1/write',
    body: Buffer.of(0),
    encoding: 'gzip',
    status: 415,
    parameter: 'content-encoding',
  },
  {
    call: 'POST /prometheus/api/v1/import/prometheus',
    body: 'up 1\n',
    encoding: 'br',
    status: 415,
    parameter: 'content-encoding',
  },
  { call: 'POST /prometheus/api/v1/import/prometheus', body: '# HELP up\nup{instance="a"} 1\n', status: 200 },
  {
    call: 'POST /prometheus/api/v1/import/prometheus',
    body: {},
    status: 400,
    parameter: 'body',
  },
  ...promql('query', 'query=1%2B1&time=4', { query: 'up', time: '4' }, 'query=sum(', 'query=up%20%40%205'),
  ...promql(
    'query_range',
    'query=cpu&start=0&end=60&step=15',
    { query: 'cpu', start: '0', end: '60', step: '15s' },
    'query=up&start=60&end=0&step=15',
    'query=double_exponential_smoothing(up)&start=0&end=60&step=15',
  ),
  ...promql('series', 'match[]=up', { 'match[]': 'up' }, '', 'match[]=up%20%40%205'),
  ...promql('labels', '', {}, 'match[]=1', 'match[]=up%5B5m:1m%5D'),
  { call: 'GET /prometheus/api/v1/label/job/values', status: 200 },
  { call: 'GET /prometheus/api/v1/label/job/values?match[]=1', status: 400 },
  { call: 'GET /prometheus/api/v1/label/job/values?match[]=up%20%40%205', status: 422 },
  { call: 'GET /prometheus/api/v1/metadata', status: 200 },
  { call: 'GET /prometheus/api/v1/status/buildinfo', status: 200 },
];
