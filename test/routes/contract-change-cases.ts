/**
 * State of the instance before a case. no streams: streams end immediately. hooked: with a webhook and its delivery
 * `{delivery}`. clustered: with Prometheus and a cluster. experimenting, experimented: also with a running or cancelled job
 * of experiments. no experiments: EXPERIMENTS_DIRECTORY is a file. applying, applied: with a running or cancelled apply job.
 * under load, loaded: with a running or cancelled load test.
 */
export type World =
  | 'up'
  | 'down'
  | 'never read'
  | 'busy'
  | 'with gate rules'
  | 'no file'
  | 'stuck file'
  | 'no streams'
  | 'busy streams'
  | 'hooked'
  | 'with a key'
  | 'no audit'
  | 'pinned'
  | 'given up'
  | 'impatient'
  | 'with metrics'
  | 'experiments'
  | 'training'
  | 'done training'
  | 'trained'
  | 'damaged model'
  | 'clustered'
  | 'experimenting'
  | 'experimented'
  | 'no experiments'
  | 'applying'
  | 'applied'
  | 'under load'
  | 'loaded';
export type Case = {
  world?: World;
  call: string;
  body?: unknown;
  /** Signed as MLflow does, with this secret. */
  signedWith?: string;
  /** Content-Encoding of the body. */
  encoding?: string;
  before?: string[];
  status: number;
  /** The field or setting that the error names. */
  parameter?: string;
  /** The text, where MOrA's clients know it. */
  detail?: RegExp;
  example?: string;
};

const webhooks = '/api/v1/registry/webhooks';
const webhookBody = { url: 'https://hooks.example.com/T0/secret', events: ['model_version_alias'], name: 'DNA' };
const mlflowEvent = {
  entity: 'model_version_alias',
  action: 'created',
  data: { name: 'DNA', alias: 'a', version: '1' },
};

const observed = { observations: [{ at: '2026-11-20T00:00:00Z', metric: 'accuracy', value: 0.9 }] };
const baselines = '/model/DNA/1/baselines';
const pinned = { subject: 'accuracy', value: 0.9, sd: 0.01, n: 20 };

/** Events, webhooks, drift and access. */
export const changeCases: Case[] = [
  { call: 'GET /models/events', status: 200 },
  { world: 'never read', call: 'GET /models/events?type=model_version_alias&limit=5', status: 200 },
  {
    call: 'GET /models/events?type=shoe',
    status: 400,
    parameter: 'type',
  },
  {
    call: 'GET /models/events?limit=0',
    status: 400,
    parameter: 'limit',
  },
  { call: 'GET /models/events?since=yesterday', status: 400, parameter: 'since' },
  {
    call: 'GET /models/events?order_by=luck',
    status: 400,
    parameter: 'order_by',
  },
  { call: 'GET /models/events?page_token=x', status: 400, parameter: 'page_token' },
  { call: 'GET /model/DNA/history', status: 200 },
  {
    call: 'GET /model/DNA/history?stage=lost',
    status: 400,
    parameter: 'stage',
  },
  { call: 'GET /model/DNA/history?at=2100-01-01', status: 400, parameter: 'at' },
  { call: 'GET /model/nope/history', status: 404, parameter: 'model_name' },
  { world: 'no streams', call: 'GET /models/stream', status: 200 },
  { call: 'GET /models/stream?last_event_id=x', status: 400, parameter: 'Last-Event-ID' },
  { world: 'busy streams', call: 'GET /models/stream', status: 503 },
  { call: 'POST /webhooks/mlflow', body: mlflowEvent, signedWith: 'right', status: 202 },
  {
    call: 'POST /webhooks/mlflow',
    body: { entity: 1 },
    signedWith: 'right',
    status: 400,
    parameter: 'entity',
  },
  {
    call: 'POST /webhooks/mlflow',
    body: mlflowEvent,
    signedWith: 'wrong',
    status: 401,
    parameter: 'X-MLflow-Signature',
  },
  { call: 'POST /webhooks/mlflow', body: mlflowEvent, status: 401, parameter: 'X-MLflow-Delivery-Id' },
  {
    world: 'no file',
    call: 'POST /webhooks/mlflow',
    body: mlflowEvent,
    signedWith: 'right',
    status: 403,
    parameter: 'MLFLOW_WEBHOOK_SECRET',
  },
  { world: 'hooked', call: `GET ${webhooks}`, status: 200 },
  { call: `POST ${webhooks}`, body: webhookBody, status: 201 },
  {
    call: `POST ${webhooks}`,
    body: { url: 'http://169.254.169.254/x' },
    status: 400,
    parameter: 'url',
  },
  {
    call: `POST ${webhooks}`,
    body: { ...webhookBody, events: ['shoe'] },
    status: 400,
    parameter: 'events',
  },
  { world: 'hooked', call: `GET ${webhooks}/{webhook}`, status: 200 },
  { call: `GET ${webhooks}/x`, status: 404, parameter: 'webhook_id' },
  { world: 'hooked', call: `DELETE ${webhooks}/{webhook}`, status: 200 },
  { call: `DELETE ${webhooks}/x`, status: 404 },
  { world: 'hooked', call: `POST ${webhooks}/{webhook}/test`, status: 202 },
  { call: `POST ${webhooks}/x/test`, status: 404 },
  { world: 'hooked', call: `GET ${webhooks}/{webhook}/deliveries`, status: 200 },
  { world: 'hooked', call: `GET ${webhooks}/{webhook}/deliveries?limit=no`, status: 400 },
  { call: `GET ${webhooks}/x/deliveries`, status: 404 },
  { world: 'given up', call: `POST ${webhooks}/{webhook}/deliveries/{delivery}/replay`, status: 202 },
  {
    world: 'hooked',
    call: `POST ${webhooks}/{webhook}/deliveries/77/replay`,
    status: 404,
    parameter: 'delivery_id',
  },
  {
    world: 'hooked',
    call: `POST ${webhooks}/{webhook}/deliveries/{delivery}/replay`,
    status: 409,
  },
  { call: 'GET /api/v1/access/whoami', status: 200 },
  { world: 'with a key', call: 'GET /api/v1/access/keys', status: 200 },
  { call: 'POST /api/v1/access/keys', body: { name: 'ci', scopes: ['read'] }, status: 201 },
  {
    call: 'POST /api/v1/access/keys',
    body: { name: 'ci', scopes: ['root'] },
    status: 400,
    parameter: 'scopes.0',
  },
  {
    call: 'POST /api/v1/access/keys',
    body: { name: ' ', scopes: [], expires_in_days: 0 },
    status: 400,
    parameter: 'name',
  },
  {
    world: 'no audit',
    call: 'POST /api/v1/access/keys',
    body: { name: 'ci', scopes: ['read'] },
    status: 503,
  },
  { world: 'with a key', call: 'DELETE /api/v1/access/keys/{key}', status: 200 },
  { world: 'no audit', call: 'DELETE /api/v1/access/keys/0123456789ab', status: 503 },
  { call: 'DELETE /api/v1/access/keys/x', status: 400, parameter: 'key_id' },
  { call: 'DELETE /api/v1/access/keys/0123456789ab', status: 404, parameter: 'key_id' },
  { world: 'with a key', call: 'GET /api/v1/access/audit', status: 200 },
  { call: 'GET /api/v1/access/audit?limit=0', status: 400, parameter: 'limit' },
  { world: 'with a key', call: 'GET /api/v1/access/audit/export', status: 200 },
  { call: 'GET /model/DNA/compare?versions=1,2', status: 200 },
  { call: 'GET /model/DNA/compare', status: 200 },
  {
    call: 'GET /model/DNA/compare?versions=1',
    status: 400,
    parameter: 'versions',
  },
  {
    call: 'GET /model/DNA/compare?versions=1,77',
    status: 404,
    parameter: 'version',
  },
  { world: 'never read', call: 'GET /model/DNA/compare', status: 503 },
  { call: 'POST /model/DNA/2/gate', body: { rules: [{ metric: 'accuracy', min: 0.5 }] }, status: 200 },
  {
    call: 'POST /model/DNA/2/gate',
    body: { rules: [{ metric: 'accuracy' }] },
    status: 400,
    parameter: 'rules.0',
  },
  { call: 'POST /model/DNA/77/gate', body: { rules: [{ owner: true }] }, status: 404 },
  { call: 'POST /model/DNA/2/gate', status: 409, parameter: 'rules' },
  { call: 'POST /model/DNA/2/gate?fail=yes', body: { rules: [{ owner: true }] }, status: 400, parameter: 'fail' },
  { call: 'GET /model/DNA/2/gate', world: 'with gate rules', status: 200 },
  { call: 'GET /model/DNA/2/gate?baseline=2', world: 'with gate rules', status: 400, parameter: 'baseline' },
  { call: 'GET /model/DNA/77/gate', world: 'with gate rules', status: 404 },
  { call: 'GET /model/DNA/2/gate', status: 409, parameter: 'rules' },
  { world: 'never read', call: 'GET /model/DNA/2/gate', status: 503 },
  { world: 'never read', call: 'POST /model/DNA/2/gate', body: { rules: [{ owner: true }] }, status: 503 },
  { call: 'GET /models/hygiene', status: 200 },
  { call: 'GET /models/hygiene?name=nope', status: 404 },
  { call: 'GET /models/hygiene?kind=shoe', status: 400, parameter: 'kind' },
  { call: 'GET /models/hygiene?scope=some', status: 400, parameter: 'scope' },
  { world: 'never read', call: 'GET /models/hygiene', status: 503 },
  { call: 'GET /models/drift', status: 200 },
  { call: 'POST /model/DNA/1/observations', body: observed, status: 201 },
  {
    call: 'POST /model/DNA/1/observations',
    body: { observations: [] },
    status: 400,
    parameter: 'observations',
  },
  {
    call: 'POST /model/DNA/1/observations',
    body: { observations: [{ metric: 'a', value: 1 }] },
    status: 400,
    parameter: 'observations.0',
  },
  {
    call: 'POST /model/DNA/1/observations',
    body: { observations: [{ at: '2999-01-01T00:00:00Z', metric: 'a', value: 1 }] },
    status: 400,
    parameter: 'observations.0.at',
  },
  { call: 'POST /model/DNA/77/observations', body: observed, status: 404, parameter: 'model_version' },
  { world: 'never read', call: 'POST /model/DNA/1/observations', body: observed, status: 503 },
  { call: `GET ${baselines}`, status: 200 },
  { call: 'GET /model/DNA/77/baselines', status: 404 },
  { world: 'never read', call: `GET ${baselines}`, status: 503 },
  { call: `PUT ${baselines}`, body: pinned, status: 200 },
  {
    call: `PUT ${baselines}`,
    body: { subject: 'accuracy' },
    status: 400,
    parameter: 'body',
  },
  { call: 'PUT /model/DNA/77/baselines', body: pinned, status: 404 },
  { world: 'never read', call: `PUT ${baselines}`, body: pinned, status: 503 },
  { world: 'pinned', call: `DELETE ${baselines}?subject=accuracy`, status: 200 },
  { call: `DELETE ${baselines}?subject=accuracy`, status: 404, parameter: 'subject' },
  { call: `DELETE ${baselines}`, status: 400, parameter: 'subject' },
  { world: 'never read', call: `DELETE ${baselines}?subject=accuracy`, status: 503 },
];

/** Types of errors by status; 413 and 431 are invalid input too. */
export const typeOfError: Record<number, string> = {
  400: 'invalid',
  401: 'unauthenticated',
  403: 'forbidden',
  404: 'not_found',
  409: 'conflict',
  413: 'invalid',
  415: 'invalid',
  422: 'invalid',
  431: 'invalid',
  503: 'unavailable',
};
