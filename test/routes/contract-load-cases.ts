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
    detail: /^target http:\/\/169.254.169.254 is not in LOAD_TARGETS; those are http:\/\/127.0.0.1:9$/,
  },
  { call: `POST ${path}`, body, status: 400, detail: /is not in LOAD_TARGETS; those are none$/ },
  {
    world: 'clustered',
    call: `POST ${path}`,
    body: { ...body, target: 'http://127.0.0.1:9/cart' },
    status: 400,
    detail: /^target must be http\(s\):\/\/host\[:port\], without a path$/,
  },
  {
    world: 'clustered',
    call: `POST ${path}`,
    body: { ...body, duration_seconds: 5, ramp_seconds: 3 },
    status: 400,
    detail: /^ramp_seconds must be half of duration_seconds at most: it is at each end$/,
  },
  {
    world: 'clustered',
    call: `POST ${path}`,
    body: { target: body.target },
    status: 400,
    detail: /^arrivals_per_second must say how many begin each second$/,
  },
  {
    world: 'clustered',
    call: `POST ${path}`,
    body: { target: body.target, generator: 'jmeter' },
    status: 400,
    detail: /^users must say how many JMeter is to have$/,
  },
  {
    world: 'clustered',
    call: `POST ${path}`,
    body: { target: body.target, generator: 'jmeter', users: 5 },
    status: 400,
    detail: /^there is no JMeter: set JMETER_HOME$/,
  },
  {
    world: 'under load',
    call: `POST ${path}`,
    body,
    status: 409,
    detail: /^http:\/\/127.0.0.1:9 is under load already, by load test /,
  },
  {
    world: 'experimenting',
    call: `POST ${path}`,
    body,
    status: 409,
    detail: /^http:\/\/127.0.0.1:9 is under load by experiments, job [\w-]+: each would measure the other’s$/,
  },
  { world: 'under load', call: `GET ${path}`, status: 200 },
  { world: 'under load', call: `GET ${path}/{job}`, status: 200 },
  { call: `GET ${path}/${noJob}`, status: 404, detail: /^there is no load test / },
  { call: `GET ${path}/x`, status: 400, detail: /^job_id must be the id of a job$/ },
  { world: 'under load', call: `DELETE ${path}/{job}`, status: 200 },
  { call: `DELETE ${path}/${noJob}`, status: 404, detail: /^there is no load test / },
  { call: `DELETE ${path}/x`, status: 400, detail: /^job_id must be the id of a job$/ },
  { world: 'loaded', call: `GET ${path}/{job}/events`, status: 200 },
  { call: `GET ${path}/${noJob}/events`, status: 404, detail: /^there is no load test / },
  { call: `GET ${path}/x/events`, status: 400, detail: /^job_id must be the id of a job$/ },
];
