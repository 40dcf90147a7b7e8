import type { Case } from './contract-change-cases.ts';

const acquisition = '/api/v1/acquisition';
const path = '/api/v1/rightsizing';
const now = '2026-11-20T12:00:00Z';
const usage = Array.from({ length: 24 * 10 }, (_, i) => 0.1 + (i % 24) / 100);
const long = {
  values: Array.from({ length: 90_000 }, (_, i) => 0.1 + (i % 144) / 100),
  step_seconds: 60,
  horizon: '1h',
};
const noPrometheus = /^there is no Prometheus: set PROMETHEUS_URL$/;
const noCluster = /^there is no cluster: set KUBERNETES_CONFIG$/;
const noFolder = /^EXPERIMENTS_DIRECTORY cannot be read \(ENOTDIR\)$/;
const noJob = 'a0f6c9d2-57b1-4d0e-9c3a-6f2f1f6b1c11';
const experiment = {
  namespace: 'shop',
  services: ['web'],
  config: {
    training: {
      steady_state_config: {
        experiment_duration_minutes: 15,
        replica_counts: [1],
        load_levels_users: [5],
        test_scenarios: ['browsing'],
      },
    },
  },
};
const noName = /^service must be a name of Kubernetes: lower-case letters/;

/** What clusters are asked, and what is made of it. */
export const rightsizingCases: Case[] = [
  { call: `GET ${acquisition}/prometheus`, status: 200 },
  { world: 'clustered', call: `GET ${acquisition}/prometheus`, status: 200 },
  { world: 'clustered', call: `GET ${acquisition}/metrics/shop/web`, status: 200 },
  { world: 'clustered', call: `GET ${acquisition}/metrics/shop/Web`, status: 400, detail: noName },
  {
    world: 'clustered',
    call: `GET ${acquisition}/metrics/shop/web?duration_minutes=0`,
    status: 400,
    detail: /^duration_minutes must be a whole number from 1 to 44640, not "0"$/,
  },
  { call: `GET ${acquisition}/metrics/shop/web`, status: 503, detail: noPrometheus },
  { world: 'clustered', call: `GET ${acquisition}/range?query=up&start=${now}&end=${now}`, status: 200 },
  {
    world: 'clustered',
    call: `GET ${acquisition}/range?query=up(&start=${now}&end=${now}`,
    status: 400,
    detail: /^Prometheus refused the query: /,
  },
  {
    world: 'clustered',
    call: `GET ${acquisition}/range?query=up&start=${now}&end=2026-11-19`,
    status: 400,
    detail: /^end must not be before start$/,
  },
  { call: `GET ${acquisition}/range?query=up&start=${now}&end=${now}`, status: 503, detail: noPrometheus },
  { call: `GET ${acquisition}/experiments`, status: 200 },
  { world: 'experiments', call: `GET ${acquisition}/experiments?service=cart&step_seconds=10`, status: 200 },
  {
    call: `GET ${acquisition}/experiments?step_seconds=0`,
    status: 400,
    detail: /^step_seconds must be a whole number from 1 to 3600, not "0"$/,
  },
  { world: 'experiments', call: `GET ${acquisition}/experiments/cart_browsing_replicas_1_users_10`, status: 200 },
  {
    call: `GET ${acquisition}/experiments/cart_browsing_replicas_1_users_10`,
    status: 404,
    detail: /^there is no experiment cart_browsing_replicas_1_users_10$/,
  },
  {
    call: `GET ${acquisition}/experiments/cart`,
    status: 400,
    detail: /^an experiment is called <service>_<scenario>_replicas_<n>_users_<n>$/,
  },
  { world: 'experiments', call: `DELETE ${acquisition}/experiments?service=cart&confirm=true`, status: 200 },
  {
    world: 'experiments',
    call: `DELETE ${acquisition}/experiments?service=cart`,
    status: 400,
    detail: /^confirm must be true: the files are gone then$/,
  },
  { world: 'clustered', call: `POST ${path}/shop/web/recommendation`, status: 200 },
  { world: 'clustered', call: `POST ${path}/shop/web/recommendation`, body: { horizon: '1h' }, status: 200 },
  {
    call: `POST ${path}/shop/web/recommendation`,
    body: { horizon: '2h' },
    status: 400,
    detail: /^horizon must be 24h or 1h$/,
  },
  {
    call: `POST ${path}/shop/web/recommendation`,
    body: { strategy: 'guess' },
    status: 400,
    detail: /^strategy must be tower, krr_simple, /,
  },
  { world: 'clustered', call: `POST ${path}/shop/NO/recommendation`, status: 400, detail: noName },
  { call: `POST ${path}/shop/web/recommendation`, status: 503, detail: noPrometheus },
  { world: 'clustered', call: `POST ${path}/shop/recommendations`, status: 200 },
  {
    call: `POST ${path}/shop/recommendations`,
    body: { services: [] },
    status: 400,
    detail: /^services must name one at least$/,
  },
  {
    world: 'clustered',
    call: `POST ${path}/empty/recommendations`,
    status: 404,
    detail: /^Prometheus knows no Deployment in empty$/,
  },
  { call: `POST ${path}/shop/recommendations`, status: 503, detail: noPrometheus },
  {
    world: 'clustered',
    call: `POST ${path}/shop/web/backtest`,
    body: { history_days: 1, warm_up_days: 0.5, horizon: '1h' },
    status: 200,
  },
  {
    world: 'clustered',
    call: `POST ${path}/shop/web/backtest`,
    body: { container: 'db' },
    status: 404,
    detail: /^Prometheus knows no container db of web in shop$/,
  },
  {
    call: `POST ${path}/shop/web/backtest`,
    body: { history_days: 0 },
    status: 400,
    detail: /^history_days must be a whole number from 1 to 31$/,
  },
  { call: `POST ${path}/shop/web/backtest`, status: 503, detail: noPrometheus },
  { call: `POST ${path}/backtest`, body: { values: usage, step_seconds: 3600 }, status: 200 },
  {
    call: `POST ${path}/backtest`,
    body: { values: usage, step_seconds: 3500 },
    status: 400,
    detail: /^step_seconds must divide 21600$/,
  },
  {
    world: 'impatient',
    call: `POST ${path}/backtest`,
    body: long,
    status: 503,
    detail: /^it was not done within 1 s \(FORECAST_TIMEOUT_SECONDS\)/,
  },
  { call: `GET ${path}/strategies`, status: 200 },
  { call: `GET ${acquisition}/health`, status: 200 },
  { world: 'clustered', call: `GET ${acquisition}/health`, status: 200 },
  { call: `GET ${acquisition}/system`, status: 200 },
  { world: 'clustered', call: `GET ${acquisition}/system?namespace=shop`, status: 200 },
  {
    call: `GET ${acquisition}/system?namespace=Shop`,
    status: 400,
    detail: /^namespace must be a name as Kubernetes has them$/,
  },
  { call: `GET ${acquisition}/collection`, status: 200 },
  { world: 'no experiments', call: `GET ${acquisition}/collection`, status: 400, detail: noFolder },
  { world: 'experiments', call: `GET ${acquisition}/status`, status: 200 },
  { call: `GET ${acquisition}/status?service=cart`, status: 200 },
  { world: 'no experiments', call: `GET ${acquisition}/status`, status: 400, detail: noFolder },
  { world: 'clustered', call: `GET ${acquisition}/workloads/shop`, status: 200 },
  {
    world: 'clustered',
    call: `GET ${acquisition}/workloads/Shop`,
    status: 400,
    detail: /^namespace must be a name as Kubernetes has them$/,
  },
  { call: `GET ${acquisition}/workloads/shop`, status: 503, detail: noCluster },
  { world: 'clustered', call: `POST ${acquisition}/experiments/plan`, body: experiment, status: 200 },
  {
    world: 'clustered',
    call: `POST ${acquisition}/experiments/plan`,
    body: { ...experiment, config: { ...experiment.config, jmeter_heap: 2, max_retries: -1 } },
    status: 400,
    detail: /^config: max_retries must be 0 at least; jmeter_heap is no key of it$/,
  },
  { world: 'clustered', call: `POST ${acquisition}/experiments/jobs`, body: experiment, status: 202 },
  {
    world: 'clustered',
    call: `POST ${acquisition}/experiments/jobs`,
    body: { ...experiment, services: [] },
    status: 400,
    detail: /^services must name one at least$/,
  },
  {
    world: 'clustered',
    call: `POST ${acquisition}/experiments/jobs`,
    body: { ...experiment, config: { ...experiment.config, target_url: 'http://metadata' } },
    status: 400,
    detail: /^config.target_url http:\/\/metadata is not in LOAD_TARGETS; those are http:\/\/127.0.0.1:9$/,
  },
  {
    world: 'experimenting',
    call: `POST ${acquisition}/experiments/jobs`,
    body: experiment,
    status: 409,
    detail: /^experiments are under way in shop already, by job /,
  },
  { call: `POST ${acquisition}/experiments/jobs`, body: experiment, status: 503, detail: noCluster },
  { world: 'experimenting', call: `GET ${acquisition}/experiments/jobs`, status: 200 },
  { world: 'experimenting', call: `GET ${acquisition}/experiments/jobs/{job}`, status: 200 },
  { call: `GET ${acquisition}/experiments/jobs/${noJob}`, status: 404, detail: /^there is no experiment job / },
  { call: `GET ${acquisition}/experiments/jobs/x`, status: 400, detail: /^job_id must be a job’s id$/ },
  { world: 'experimenting', call: `DELETE ${acquisition}/experiments/jobs/{job}`, status: 200 },
  { call: `DELETE ${acquisition}/experiments/jobs/${noJob}`, status: 404, detail: /^there is no experiment job / },
  { call: `DELETE ${acquisition}/experiments/jobs/x`, status: 400, detail: /^job_id must be a job’s id$/ },
  { world: 'experimented', call: `GET ${acquisition}/experiments/jobs/{job}/events`, status: 200 },
  { call: `GET ${acquisition}/experiments/jobs/${noJob}/events`, status: 404, detail: /^there is no experiment job / },
  { call: `GET ${acquisition}/experiments/jobs/x/events`, status: 400, detail: /^job_id must be a job’s id$/ },
];
