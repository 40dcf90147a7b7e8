import type { Case } from './contract-change-cases.ts';

const path = '/api/v1/acquisition/load-tests';
const noJob = 'a0f6c9d2-57b1-4d0e-9c3a-6f2f1f6b1c11';
const body = { target: 'http://127.0.0.1:9', arrivals_per_second: 1 };

/** Load tests as jobs. */
export const loadCases: Case[] = [
  { world: 'clustered', call: `POST ${path}`, body, status: 202 },
  {
    world: 'clustered',
    call: `POST ${path}`,
    body: { ...body, target: 'http://169.254.169.254' },
    status: 400,
    parameter: 'target',
  },
  { call: `POST ${path}`, body, status: 400, parameter: 'target' },
  {
    world: 'clustered',
    call: `POST ${path}`,
    body: { ...body, target: 'http://127.0.0.1:9/cart' },
    status: 400,
    parameter: 'target',
  },
  {
    world: 'clustered',
    call: `POST ${path}`,
    body: { ...body, duration_seconds: 5, ramp_seconds: 3 },
    status: 400,
    parameter: 'ramp_seconds',
  },
  {
    world: 'clustered',
    call: `POST ${path}`,
    body: { target: body.target },
    status: 400,
    parameter: 'arrivals_per_second',
  },
  {
    world: 'clustered',
    call: `POST ${path}`,
    body: { target: body.target, generator: 'jmeter' },
    status: 400,
    parameter: 'users',
  },
  {
    world: 'clustered',
    call: `POST ${path}`,
    body: { target: body.target, generator: 'jmeter', users: 5 },
    status: 400,
    parameter: 'JMETER_HOME',
  },
  {
    world: 'under load',
    call: `POST ${path}`,
    body,
    status: 409,
  },
  {
    world: 'experimenting',
    call: `POST ${path}`,
    body,
    status: 409,
  },
  { world: 'under load', call: `GET ${path}`, status: 200 },
  { world: 'under load', call: `GET ${path}/{job}`, status: 200 },
  { call: `GET ${path}/${noJob}`, status: 404 },
  { call: `GET ${path}/x`, status: 400, parameter: 'job_id' },
  { world: 'under load', call: `DELETE ${path}/{job}`, status: 200 },
  { call: `DELETE ${path}/${noJob}`, status: 404 },
  { call: `DELETE ${path}/x`, status: 400, parameter: 'job_id' },
  { world: 'loaded', call: `GET ${path}/{job}/events`, status: 200 },
  { call: `GET ${path}/${noJob}/events`, status: 404 },
  { call: `GET ${path}/x/events`, status: 400, parameter: 'job_id' },
];
