/** `no streams`: streams end as soon as they begin; `hooked`: with a webhook and a delivery to it that is `{delivery}`; `clustered`: with a Prometheus and a cluster; `experimenting`: and a job that makes experiments there, `experimented`: cancelled by now; `no experiments`: their folder is a file; `applying` and `applied`: the same of a recommendation, `under load` and `loaded`: of a load test. */
export type World =
  | 'up'
  | 'down'
  | 'never read'
  | 'busy'
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
  before?: string[];
  status: number;
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
    detail: /^type must be one of registered_model.created, .*not "shoe"$/,
  },
  {
    call: 'GET /models/events?limit=1001',
    status: 400,
    detail: /^limit must be a whole number from 1 to 1000, not "1001"$/,
  },
  { call: 'GET /models/events?since=yesterday', status: 400, detail: /^since must be a date or an ISO 8601 time/ },
  { call: 'GET /models/events?order_by=luck', status: 400, detail: /^order_by must be id desc or id asc, not "luck"$/ },
  { call: 'GET /models/events?page_token=x', status: 400, detail: /^page_token must be a token from a Link header/ },
  { call: 'GET /model/DNA/history', status: 200 },
  {
    call: 'GET /model/DNA/history?stage=lost',
    status: 400,
    detail: /^stage must be one of None, Staging, Production, Archived/,
  },
  { call: 'GET /model/DNA/history?at=2100-01-01', status: 400, detail: /^at must not be later than the last look/ },
  { call: 'GET /model/nope/history', status: 404, detail: /^Model "nope" is neither in MLflow nor in the journal$/ },
  { world: 'no streams', call: 'GET /models/stream', status: 200 },
  { call: 'GET /models/stream?last_event_id=x', status: 400, detail: /^Last-Event-ID must be the id of an event/ },
  { world: 'busy streams', call: 'GET /models/stream', status: 503, detail: /follow the stream already/ },
  { call: 'POST /webhooks/mlflow', body: mlflowEvent, signedWith: 'right', status: 202 },
  {
    call: 'POST /webhooks/mlflow',
    body: { entity: 1 },
    signedWith: 'right',
    status: 400,
    detail: /^entity and action must be a text$/,
  },
  {
    call: 'POST /webhooks/mlflow',
    body: mlflowEvent,
    signedWith: 'wrong',
    status: 401,
    detail: /^X-MLflow-Signature is missing or does not fit/,
  },
  { call: 'POST /webhooks/mlflow', body: mlflowEvent, status: 401, detail: /^X-MLflow-Delivery-Id is missing/ },
  {
    world: 'no file',
    call: 'POST /webhooks/mlflow',
    body: mlflowEvent,
    signedWith: 'right',
    status: 403,
    detail: /MLFLOW_WEBHOOK_SECRET is not set/,
  },
  { world: 'hooked', call: `GET ${webhooks}`, status: 200 },
  { call: `POST ${webhooks}`, body: webhookBody, status: 201 },
  {
    call: `POST ${webhooks}`,
    body: { url: 'http://169.254.169.254/x' },
    status: 400,
    detail: /^url must not lead to a private or local address/,
  },
  {
    call: `POST ${webhooks}`,
    body: { ...webhookBody, events: ['shoe'] },
    status: 400,
    detail: /^events must be one of/,
  },
  { world: 'hooked', call: `GET ${webhooks}/{webhook}`, status: 200 },
  { call: `GET ${webhooks}/x`, status: 404, detail: /^There is no such webhook$/ },
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
    detail: /^There is no such delivery$/,
  },
  {
    world: 'hooked',
    call: `POST ${webhooks}/{webhook}/deliveries/{delivery}/replay`,
    status: 409,
    detail: /^The delivery is still to be sent$/,
  },
  { call: 'GET /api/v1/access/whoami', status: 200 },
  { world: 'with a key', call: 'GET /api/v1/access/keys', status: 200 },
  { call: 'POST /api/v1/access/keys', body: { name: 'ci', scopes: ['read'] }, status: 201 },
  {
    call: 'POST /api/v1/access/keys',
    body: { name: 'ci', scopes: ['root'] },
    status: 400,
    detail: /^scopes\.0 must be one of read/,
  },
  {
    call: 'POST /api/v1/access/keys',
    body: { name: ' ', scopes: [], expires_in_days: 0 },
    status: 400,
    detail: /^name must not be empty; scopes must name one scope at least; expires_in_days must be 1 at least$/,
  },
  {
    world: 'no audit',
    call: 'POST /api/v1/access/keys',
    body: { name: 'ci', scopes: ['read'] },
    status: 503,
    detail: /^The audit log cannot be written, so nothing was changed$/,
  },
  { world: 'with a key', call: 'DELETE /api/v1/access/keys/{key}', status: 200 },
  { world: 'no audit', call: 'DELETE /api/v1/access/keys/0123456789ab', status: 503 },
  { call: 'DELETE /api/v1/access/keys/x', status: 400, detail: /^key_id must be the id of a key/ },
  { call: 'DELETE /api/v1/access/keys/0123456789ab', status: 404, detail: /^There is no such key in force$/ },
  { world: 'with a key', call: 'GET /api/v1/access/audit', status: 200 },
  { call: 'GET /api/v1/access/audit?limit=0', status: 400, detail: /^limit must be a whole number from 1 to 1000/ },
  { world: 'with a key', call: 'GET /api/v1/access/audit/export', status: 200 },
  { call: 'GET /model/DNA/compare?versions=1,2', status: 200 },
  { call: 'GET /model/DNA/compare', status: 200 },
  {
    call: 'GET /model/DNA/compare?versions=1',
    status: 400,
    detail: /^versions must be two different versions, champion and challenger, such as 3,4, not "1"$/,
  },
  {
    call: 'GET /model/DNA/compare?versions=1,77',
    status: 404,
    detail: /^Model "DNA" has no version "77"; its newest are 1, 2, 10$/,
  },
  { world: 'never read', call: 'GET /model/DNA/compare', status: 503 },
  { call: 'POST /model/DNA/2/gate', body: { rules: [{ metric: 'accuracy', min: 0.5 }] }, status: 200 },
  {
    call: 'POST /model/DNA/2/gate',
    body: { rules: [{ metric: 'accuracy' }] },
    status: 400,
    detail: /^rules\.0 must be one of \{metric, min\}/,
  },
  { call: 'POST /model/DNA/77/gate', body: { rules: [{ owner: true }] }, status: 404 },
  { call: 'POST /model/DNA/2/gate', status: 409, detail: /^There are no rules to judge by/ },
  { world: 'never read', call: 'POST /model/DNA/2/gate', body: { rules: [{ owner: true }] }, status: 503 },
  { call: 'GET /models/hygiene', status: 200 },
  { call: 'GET /models/hygiene?name=nope', status: 404, detail: /^Model "nope" not found in MLflow$/ },
  { call: 'GET /models/hygiene?kind=shoe', status: 400, detail: /^kind must be one of dangling_alias/ },
  { call: 'GET /models/hygiene?scope=some', status: 400, detail: /^scope must be deployed or all, not "some"$/ },
  { world: 'never read', call: 'GET /models/hygiene', status: 503 },
  { call: 'GET /models/drift', status: 200 },
  { call: 'POST /model/DNA/1/observations', body: observed, status: 201 },
  {
    call: 'POST /model/DNA/1/observations',
    body: { observations: [] },
    status: 400,
    detail: /^observations must hold one at least$/,
  },
  {
    call: 'POST /model/DNA/1/observations',
    body: { observations: [{ metric: 'a', value: 1 }] },
    status: 400,
    detail: /^observations\.0 must be \{at, metric, value\}/,
  },
  {
    call: 'POST /model/DNA/1/observations',
    body: { observations: [{ at: '2999-01-01T00:00:00Z', metric: 'a', value: 1 }] },
    status: 400,
    detail: /^observations\.0\.at must lie between the year 2000 and now/,
  },
  { call: 'POST /model/DNA/77/observations', body: observed, status: 404, detail: /^Model "DNA" has no version "77"$/ },
  { world: 'never read', call: 'POST /model/DNA/1/observations', body: observed, status: 503 },
  { call: `GET ${baselines}`, status: 200 },
  { call: 'GET /model/DNA/77/baselines', status: 404 },
  { world: 'never read', call: `GET ${baselines}`, status: 503 },
  { call: `PUT ${baselines}`, body: pinned, status: 200 },
  {
    call: `PUT ${baselines}`,
    body: { subject: 'accuracy' },
    status: 400,
    detail: /^body must be \{subject, from, until\}/,
  },
  { call: 'PUT /model/DNA/77/baselines', body: pinned, status: 404 },
  { world: 'never read', call: `PUT ${baselines}`, body: pinned, status: 503 },
  { world: 'pinned', call: `DELETE ${baselines}?subject=accuracy`, status: 200 },
  { call: `DELETE ${baselines}?subject=accuracy`, status: 404, detail: /^No baseline of "accuracy" is pinned$/ },
  { call: `DELETE ${baselines}`, status: 400, detail: /^subject must be a text/ },
  { world: 'never read', call: `DELETE ${baselines}?subject=accuracy`, status: 503 },
];
