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
  { call, status: 404, detail: /^there is no trained model of cart; POST .* makes one$/ },
  { call: call.replace('/cart', '/a%2Fb'), status: 400, detail: /^a service is named with letters/ },
  { world: 'damaged model', call, status: 503, detail: /^the model file of cart is damaged: .*; train it again$/ },
];

/** Forecasts of series, and models of services. */
export const forecastCases: Case[] = [
  { call: 'POST /api/v1/forecast', body, status: 200 },
  { call: 'POST /api/v1/forecast', body: { values: [3] }, status: 200 },
  { call: 'POST /api/v1/forecast', body: { values: [] }, status: 400, detail: /^values must hold one at least/ },
  {
    call: 'POST /api/v1/forecast',
    body: { values: [null] },
    status: 400,
    detail: /^there is no value in this series$/,
  },
  {
    call: 'POST /api/v1/forecast',
    body: { values: ['a'] },
    status: 400,
    detail: /^values\.0 must be a number or null$/,
  },
  {
    call: 'POST /api/v1/forecast',
    body: { ...body, horizon: 0 },
    status: 400,
    detail: /^horizon must be a whole number from 1 to 2000$/,
  },
  {
    call: 'POST /api/v1/forecast',
    body: { ...body, members: ['arima'] },
    status: 400,
    detail:
      /^members\.0 must be persistence, seasonal_naive, seasonal_profile, mstl, ridge, autoregression, prophet or lstm$/,
  },
  {
    call: 'POST /api/v1/forecast',
    body: { ...body, timestamps: ['2026-11-20T10:30:00Z'] },
    status: 400,
    detail: /^there are 1 timestamps for 120 values$/,
  },
  {
    call: 'POST /api/v1/forecast',
    body: { ...body, prophet: { growth: 'logistic' } },
    status: 400,
    detail: /^prophet\.growth must be linear or flat$/,
  },
  {
    call: 'POST /api/v1/forecast',
    body: { ...body, prophet: { regressors: [{ name: 'load', values: [1] }] } },
    status: 400,
    detail: /^the regressor load needs 126 numbers: one for each value and each step ahead$/,
  },
  {
    world: 'impatient',
    call: 'POST /api/v1/forecast',
    body: long,
    status: 503,
    detail: /^the forecast was not done within 1 s, waiting for a thread included/,
  },
  { call: 'POST /api/v1/forecast/backtest', body: { ...body, windows: 2 }, status: 200 },
  {
    call: 'POST /api/v1/forecast/backtest',
    body: { ...body, windows: 0 },
    status: 400,
    detail: /^windows must be a whole number/,
  },
  {
    call: 'POST /api/v1/forecast/backtest',
    body: { values: [1, 2, 3], horizon: 6 },
    status: 400,
    detail: /^3 values are too few for a backtest of 6 steps: it needs 12$/,
  },
  { world: 'impatient', call: 'POST /api/v1/forecast/backtest', body: { ...long, windows: 20 }, status: 503 },
  { world: 'experiments', call: `POST ${service}/train`, body: { epochs: 1 }, status: 202 },
  { call: `POST ${service}/train`, body: {}, status: 404, detail: /^there are no experiments of cart/ },
  {
    world: 'experiments',
    call: `POST ${service}/train`,
    body: { window: 49 },
    status: 400,
    detail: /^8 experiments with 8 windows of 49 steps are too few to train on/,
  },
  {
    world: 'experiments',
    call: `POST ${service}/train`,
    body: { window: 1 },
    status: 400,
    detail: /^window must be a whole number from 2 to 60$/,
  },
  {
    world: 'training',
    call: `POST ${service}/train`,
    body: {},
    status: 409,
    detail: /^cart is being trained already, by job /,
  },
  { world: 'trained', call: `POST ${service}/evaluate`, status: 200 },
  {
    world: 'trained',
    call: `POST ${service}/evaluate`,
    body: { retrain_if_decayed: 1 },
    status: 400,
    detail: /^retrain_if_decayed must be true or false$/,
  },
  { call: `POST ${service}/evaluate`, status: 404, detail: /^there is no trained model of cart/ },
  { world: 'damaged model', call: `POST ${service}/evaluate`, status: 503 },
  { world: 'trained', call: `POST ${service}/recommendation`, body: current, status: 200 },
  { world: 'trained', call: `POST ${service}/recommendation`, body: { ...current, replica_count: 900 }, status: 200 },
  { call: `POST ${service}/recommendation`, body: current, status: 404 },
  {
    call: `POST ${service}/recommendation`,
    body: { ...current, load_users: -1 },
    status: 400,
    detail: /^load_users must not be negative$/,
  },
  { world: 'damaged model', call: `POST ${service}/recommendation`, body: current, status: 503 },
  { world: 'trained', call: 'POST /recommendations', body: short, status: 200 },
  { call: 'POST /recommendations', body: short, status: 404 },
  { call: 'POST /recommendations', body: { service: 'cart' }, status: 400, detail: /^current_metrics / },
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
    detail: /^requests must hold one at least$/,
  },
  { world: 'done training', call: `GET ${jobs}`, status: 200 },
  { world: 'done training', call: `GET ${jobs}/{job}`, status: 200 },
  { call: `GET ${unknownJob}`, status: 404, detail: /^there is no training job 0b7c/ },
  { call: `GET ${jobs}/shoe`, status: 400, detail: /^job_id must be the id of a job/ },
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
