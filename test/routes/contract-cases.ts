import { analyticsCases } from './contract-analytics-cases.ts';
import { type Case, changeCases } from './contract-change-cases.ts';
import { forecastCases } from './contract-forecast-cases.ts';
import { loadCases } from './contract-load-cases.ts';
import { rightsizingCases } from './contract-rightsizing-cases.ts';

/**
 * Every documented endpoint with every documented status. Each answer is validated against the OpenAPI document that
 * the instance serves, and each first success against the example of the API reference.
 */
export const monitorBody = { model_type: 'classifier', registered_by: 'dana' };
const monitorPath = '/models/DNA/1/monitor';
const watched = [`POST ${monitorPath}`];
const lists = [
  '/models',
  '/models/production',
  '/models/staging',
  '/models/all',
  '/models/monitored',
  '/models/monitored/classifier',
  '/models/monitored/regressor',
];

export const cases: Case[] = [
  { call: 'GET /', status: 200, example: 'GET /' },
  { call: 'GET /health', status: 200, example: 'GET /health' },
  { world: 'down', call: 'GET /health', status: 200 },
  { world: 'never read', call: 'GET /health', status: 200 },
  { call: 'GET /healthz', status: 200 },
  { call: 'GET /readyz', status: 200 },
  { world: 'never read', call: 'GET /readyz', status: 503 },
  { call: 'GET /config', status: 200, example: 'GET /config' },
  { call: 'GET /metrics', status: 200 },
  ...lists.flatMap((path): Case[] => [
    { call: `GET ${path}`, status: 200, before: watched, ...(path === '/models' ? { example: 'GET /models' } : {}) },
    { world: 'down', call: `GET ${path}`, status: 200 },
    { call: `GET ${path}?limit=none`, status: 400, parameter: 'limit' },
    { call: `GET ${path}?limti=1`, status: 400, parameter: 'limti' },
    {
      world: 'never read',
      call: `GET ${path}`,
      status: 503,
    },
  ]),
  {
    call: `POST ${monitorPath}`,
    body: monitorBody,
    status: 201,
    example: 'POST /models/{model_name}/{model_version}/monitor',
  },
  {
    call: `POST ${monitorPath}`,
    body: monitorBody,
    before: watched,
    status: 400,
    detail: /^Model is already being monitored$/,
  },
  {
    call: `POST ${monitorPath}`,
    body: { ...monitorBody, model_type: 'oracle' },
    status: 400,
    parameter: 'model_type',
  },
  {
    call: `POST ${monitorPath}`,
    body: { model_type: 'classifier' },
    status: 400,
    parameter: 'registered_by',
  },
  {
    call: `POST ${monitorPath}`,
    body: { ...monitorBody, shoe: 1 },
    status: 400,
    parameter: 'shoe',
  },
  { call: `POST ${monitorPath}`, status: 400, parameter: 'body' },
  { call: 'POST /models/DNA/99/monitor', body: monitorBody, status: 404 },
  { call: 'POST /models/nope/1/monitor', body: monitorBody, status: 404 },
  { world: 'never read', call: `POST ${monitorPath}`, body: monitorBody, status: 503 },
  {
    call: `DELETE ${monitorPath}`,
    before: watched,
    status: 200,
    example: 'DELETE /models/{model_name}/{model_version}/monitor',
  },
  { call: `DELETE ${monitorPath}`, status: 404 },
  {
    call: `GET ${monitorPath}/status`,
    before: watched,
    status: 200,
    example: 'GET /models/{model_name}/{model_version}/monitor/status',
  },
  { call: 'GET /monitor', before: watched, status: 200 },
  { call: 'POST /monitor', body: { model_name: 'DNA', model_version: '2', ...monitorBody }, status: 201 },
  {
    call: 'POST /monitor',
    body: { model_name: 'DNA', model_version: '1', ...monitorBody },
    before: watched,
    status: 400,
    detail: /already being monitored/,
  },
  {
    call: 'POST /monitor',
    body: monitorBody,
    status: 400,
    parameter: 'model_name',
  },
  { call: 'POST /monitor', body: { model_name: 'nope', model_version: '2', ...monitorBody }, status: 404 },
  {
    world: 'never read',
    call: 'POST /monitor',
    body: { model_name: 'DNA', model_version: '2', ...monitorBody },
    status: 503,
  },
  { call: 'DELETE /monitor/DNA/1', before: watched, status: 200 },
  { call: 'DELETE /monitor/DNA/1', status: 404 },
  { call: 'GET /debug/monitored', before: watched, status: 200, example: 'GET /debug/monitored' },
  { world: 'never read', call: 'GET /debug/monitored', status: 503 },
  { call: 'GET /experiments', status: 200, example: 'GET /experiments' },
  { call: 'GET /experiments?order_by=luck', status: 400, parameter: 'order_by' },
  { world: 'never read', call: 'GET /experiments', status: 503 },
  { call: 'GET /runs/1?limit=2', status: 200, example: 'GET /runs/{experiment_id}' },
  { call: 'GET /runs/1?limit=-2', status: 400, parameter: 'limit' },
  { call: 'GET /runs/77', status: 404, parameter: 'experiment_id' },
  { world: 'down', call: 'GET /runs/1', status: 503 },
  { call: 'GET /model/DNA/versions', status: 200, example: 'GET /model/{model_name}/versions' },
  { call: 'GET /model/DNA/versions?stage=x', status: 400, parameter: 'stage' },
  { call: 'GET /model/nope/versions', status: 404 },
  { world: 'never read', call: 'GET /model/DNA/versions', status: 503 },
  { call: 'GET /model/DNA/drift?days=3650', status: 200, example: 'GET /model/{model_name}/drift' },
  {
    call: 'GET /model/DNA/drift?days=0',
    status: 400,
    parameter: 'days',
  },
  { call: 'GET /model/DNA/drift?days=3651', status: 400 },
  { call: 'GET /model/nope/drift', status: 404 },
  { world: 'down', call: 'GET /model/DNA/drift', status: 503 },
  ...forecastCases,
  ...rightsizingCases,
  ...loadCases,
  ...analyticsCases,
  ...changeCases,
  { call: 'GET /cache/info', status: 200, example: 'GET /cache/info' },
  { world: 'never read', call: 'GET /cache/info', status: 200 },
  { call: 'POST /cache/refresh', status: 200, example: 'POST /cache/refresh' },
  { world: 'down', call: 'POST /cache/refresh', status: 503 },
  { call: 'DELETE /cache/clear', status: 200, example: 'DELETE /cache/clear' },
  { world: 'no file', call: 'DELETE /cache/clear', status: 200 },
  {
    world: 'stuck file',
    call: 'DELETE /cache/clear',
    status: 503,
  },
  { call: 'GET /dashboard/summary', status: 200, example: 'GET /dashboard/summary' },
  { world: 'never read', call: 'GET /dashboard/summary', status: 503 },
];
