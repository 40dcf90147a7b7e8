import type { Case } from './contract-change-cases.ts';

const days = (count: number) =>
  Array.from({ length: count * 24 }, (_, i) => 100 + 20 * Math.sin((2 * Math.PI * i) / 24) + (i % 5));
const body = { values: days(5), step_seconds: 3600, horizon: 6, members: ['seasonal_naive', 'mstl', 'prophet'] };
const long = { values: days(800), step_seconds: 3600, horizon: 400 };

/** Forecasts of series. */
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
    detail: /^members\.0 must be persistence, seasonal_naive, mstl, ridge, prophet or lstm$/,
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
    detail: /^the regressor load needs 126 numbers/,
  },
  {
    world: 'impatient',
    call: 'POST /api/v1/forecast',
    body: long,
    status: 503,
    detail: /^the forecast took longer than 1 s/,
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
];
