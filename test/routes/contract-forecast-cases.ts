import type { Case } from './contract-change-cases.ts';

const days = (count: number) =>
  Array.from({ length: count * 24 }, (_, i) => 100 + 20 * Math.sin((2 * Math.PI * i) / 24) + (i % 5));
const body = { values: days(5), step_seconds: 3600, horizon: 6, members: ['seasonal_naive', 'mstl', 'prophet'] };
const long = { values: days(800), step_seconds: 3600, horizon: 400 };

const service = '/api/v1/services/cart';
const models = '/api/v1/forecast/models';
const jobs = '/api/v1/forecast/jobs';
const unknownJob = `${jobs}/0b7c4f0e-6a34-4f0e-9d0a-2f5a3b1c8d9e`;
const current = { cpu_cores_value: 0.03, mem_bytes_value: 2e7, replica_count: 2, load_users: 21 };
const short = { service: 'cart', current_metrics: current };
const ofModel = (call: string): Case[] => [
  { world: 'trained', call, status: 200 },
  { call, status: 404 },
  { call: call.replace('/cart', '/a%2Fb'), status: 400, parameter: 'service' },
  { world: 'damaged model', call, status: 503 },
];

/** Forecasts of series, and models of services. */
export const forecastCases: Case[] = [
  { call: 'POST /api/v1/forecast', body, status: 200 },
  { call: 'POST /api/v1/forecast', body: { values: [3] }, status: 200 },
  {
    call: 'POST /api/v1/forecast',
    body: { values: [] },
    status: 400,
    parameter: 'values',
  },
  {
    call: 'POST /api/v1/forecast',
    body: { values: [null] },
    status: 400,
    parameter: 'values',
  },
  {
    call: 'POST /api/v1/forecast',
    body: { values: ['a'] },
    status: 400,
    parameter: 'values.0',
  },
  {
    call: 'POST /api/v1/forecast',
    body: { ...body, horizon: 0 },
    status: 400,
    parameter: 'horizon',
  },
  {
    call: 'POST /api/v1/forecast',
    body: { ...body, members: ['arima'] },
    status: 400,
    parameter: 'members.0',
  },
  {
    call: 'POST /api/v1/forecast',
    body: { ...body, timestamps: ['2026-11-20T10:30:00Z'] },
    status: 400,
    parameter: 'timestamps',
  },
  {
    call: 'POST /api/v1/forecast',
    body: { ...body, prophet: { growth: 'logistic' } },
    status: 400,
    parameter: 'prophet.growth',
  },
  {
    call: 'POST /api/v1/forecast',
    body: { ...body, prophet: { regressors: [{ name: 'load', values: [1] }] } },
    status: 400,
    parameter: 'prophet.regressors',
  },
  {
    world: 'impatient',
    call: 'POST /api/v1/forecast',
    body: long,
    status: 503,
  },
  { call: 'POST /api/v1/forecast/backtest', body: { ...body, windows: 2 }, status: 200 },
  {
    call: 'POST /api/v1/forecast/backtest',
    body: { ...body, windows: 0 },
    status: 400,
    parameter: 'windows',
  },
  {
    call: 'POST /api/v1/forecast/backtest',
    body: { values: [1, 2, 3], horizon: 6 },
    status: 400,
    parameter: 'values',
  },
  { world: 'impatient', call: 'POST /api/v1/forecast/backtest', body: { ...long, windows: 20 }, status: 503 },
  { world: 'experiments', call: `POST ${service}/train`, body: { epochs: 1 }, status: 202 },
  { call: `POST ${service}/train`, body: {}, status: 404 },
  {
    world: 'experiments',
    call: `POST ${service}/train`,
    body: { window: 49 },
    status: 400,
    parameter: 'window',
  },
  {
    world: 'experiments',
    call: `POST ${service}/train`,
    body: { window: 1 },
    status: 400,
    parameter: 'window',
  },
  {
    world: 'training',
    call: `POST ${service}/train`,
    body: {},
    status: 409,
  },
  { world: 'trained', call: `POST ${service}/evaluate`, status: 200 },
  {
    world: 'trained',
    call: `POST ${service}/evaluate`,
    body: { retrain_if_decayed: 1 },
    status: 400,
    parameter: 'retrain_if_decayed',
  },
  { call: `POST ${service}/evaluate`, status: 404 },
  { world: 'damaged model', call: `POST ${service}/evaluate`, status: 503 },
  { world: 'trained', call: `POST ${service}/recommendation`, body: current, status: 200 },
  { world: 'trained', call: `POST ${service}/recommendation`, body: { ...current, replica_count: 900 }, status: 200 },
  { call: `POST ${service}/recommendation`, body: current, status: 404 },
  {
    call: `POST ${service}/recommendation`,
    body: { ...current, load_users: -1 },
    status: 400,
    parameter: 'load_users',
  },
  { world: 'damaged model', call: `POST ${service}/recommendation`, body: current, status: 503 },
  { world: 'trained', call: 'POST /recommendations', body: short, status: 200 },
  { call: 'POST /recommendations', body: short, status: 404 },
  { call: 'POST /recommendations', body: { service: 'cart' }, status: 400, parameter: 'current_metrics' },
  { world: 'damaged model', call: 'POST /recommendations', body: short, status: 503 },
  {
    world: 'trained',
    call: 'POST /recommendations/batch',
    body: { requests: [short, { ...short, service: 'none' }] },
    status: 200,
  },
  {
    call: 'POST /recommendations/batch',
    body: { requests: [] },
    status: 400,
    parameter: 'requests',
  },
  { world: 'done training', call: `GET ${jobs}`, status: 200 },
  { world: 'done training', call: `GET ${jobs}/{job}`, status: 200 },
  { call: `GET ${unknownJob}`, status: 404 },
  { call: `GET ${jobs}/shoe`, status: 400, parameter: 'job_id' },
  { world: 'done training', call: `GET ${jobs}/{job}/events`, status: 200 },
  { call: `GET ${unknownJob}/events`, status: 404 },
  { call: `GET ${jobs}/shoe/events`, status: 400 },
  { world: 'training', call: `DELETE ${jobs}/{job}`, status: 200 },
  { call: `DELETE ${unknownJob}`, status: 404 },
  { call: `DELETE ${jobs}/shoe`, status: 400 },
  { world: 'damaged model', call: `GET ${models}`, status: 200 },
  ...ofModel(`GET ${models}/cart`),
  ...ofModel(`GET ${models}/cart/model.json`),
  ...ofModel(`GET ${models}/cart/weights.bin`),
];
