/**
 * Every documented endpoint with every outcome it documents. Each answer is checked against the OpenAPI
 * document the tower serves, and each first success against the example of the contract.
 */
/** `no streams`: streams end as soon as they begin; `hooked`: with a webhook and a delivery to it that is `{delivery}`. */
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
  | 'given up';
export type Case = {
  world?: World;
  call: string;
  body?: unknown;
  /** Sent as MLflow sends it, with this secret. */
  signedWith?: string;
  before?: string[];
  status: number;
  detail?: RegExp;
  example?: string;
};

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

const webhooks = '/api/v1/registry/webhooks';
const webhookBody = { url: 'https://hooks.example.com/T0/secret', events: ['model_version_alias'], name: 'DNA' };
const mlflowEvent = {
  entity: 'model_version_alias',
  action: 'created',
  data: { name: 'DNA', alias: 'a', version: '1' },
};

export const cases: Case[] = [
  { call: 'GET /', status: 200, example: 'GET /' },
  { call: 'GET /health', status: 200, example: 'GET /health' },
  { world: 'down', call: 'GET /health', status: 200 },
  { world: 'never read', call: 'GET /health', status: 200 },
  { call: 'GET /healthz', status: 200 },
  { call: 'GET /readyz', status: 200 },
  { world: 'never read', call: 'GET /readyz', status: 503, detail: /no snapshot/ },
  { call: 'GET /config', status: 200, example: 'GET /config' },
  { call: 'GET /metrics', status: 200 },
  ...lists.flatMap((path): Case[] => [
    { call: `GET ${path}`, status: 200, before: watched, ...(path === '/models' ? { example: 'GET /models' } : {}) },
    { world: 'down', call: `GET ${path}`, status: 200 },
    { call: `GET ${path}?limit=none`, status: 400, detail: /^limit must be a whole number from 1, not "none"$/ },
    { call: `GET ${path}?shoe=1`, status: 400, detail: /^shoe is not a known field of the querystring$/ },
    {
      world: 'never read',
      call: `GET ${path}`,
      status: 503,
      detail: /the registry has not been read yet: MLflow cannot be reached/,
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
    detail: /^Invalid model type\. Must be classifier or regressor$/,
  },
  {
    call: `POST ${monitorPath}`,
    body: { model_type: 'classifier' },
    status: 400,
    detail: /^registered_by must be a text/,
  },
  {
    call: `POST ${monitorPath}`,
    body: { ...monitorBody, shoe: 1 },
    status: 400,
    detail: /^shoe is not a known field of the body$/,
  },
  { call: `POST ${monitorPath}`, status: 400, detail: /^body must be object/ },
  { call: 'POST /models/DNA/99/monitor', body: monitorBody, status: 404, detail: /^Model not found in MLflow$/ },
  { call: 'POST /models/nope/1/monitor', body: monitorBody, status: 404, detail: /^Model not found in MLflow$/ },
  { world: 'never read', call: `POST ${monitorPath}`, body: monitorBody, status: 503 },
  {
    call: `DELETE ${monitorPath}`,
    before: watched,
    status: 200,
    example: 'DELETE /models/{model_name}/{model_version}/monitor',
  },
  { call: `DELETE ${monitorPath}`, status: 404, detail: /^Model is not being monitored$/ },
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
    detail: /^model_name must be a text; model_version must be a text$/,
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
  { call: 'GET /experiments?order_by=luck', status: 400, detail: /^order_by must be one of experiment_id, name/ },
  { world: 'never read', call: 'GET /experiments', status: 503 },
  { call: 'GET /runs/1?limit=2', status: 200, example: 'GET /runs/{experiment_id}' },
  { call: 'GET /runs/1?limit=-2', status: 400, detail: /^limit must/ },
  { call: 'GET /runs/77', status: 404, detail: /^Experiment "77" not found in MLflow$/ },
  { world: 'down', call: 'GET /runs/1', status: 503, detail: /MLflow cannot be reached/ },
  { call: 'GET /model/DNA/versions', status: 200, example: 'GET /model/{model_name}/versions' },
  { call: 'GET /model/DNA/versions?stage=x', status: 400, detail: /^stage must/ },
  { call: 'GET /model/nope/versions', status: 404, detail: /^Model "nope" not found in MLflow$/ },
  { world: 'never read', call: 'GET /model/DNA/versions', status: 503 },
  { call: 'GET /model/DNA/drift?days=3650', status: 200, example: 'GET /model/{model_name}/drift' },
  { call: 'GET /model/DNA/drift?days=0', status: 400, detail: /^days must be a whole number from 1 to 3650, not "0"$/ },
  { call: 'GET /model/DNA/drift?days=3651', status: 400 },
  { call: 'GET /model/nope/drift', status: 404 },
  { world: 'down', call: 'GET /model/DNA/drift', status: 503, detail: /MLflow cannot be reached/ },
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
  { world: 'no audit', call: 'DELETE /api/v1/access/keys/x', status: 503 },
  { call: 'DELETE /api/v1/access/keys/x', status: 404, detail: /^There is no such key in force$/ },
  { world: 'with a key', call: 'GET /api/v1/access/audit', status: 200 },
  { call: 'GET /api/v1/access/audit?limit=0', status: 400, detail: /^limit must be a whole number from 1 to 1000/ },
  { world: 'with a key', call: 'GET /api/v1/access/audit/export', status: 200 },
  { call: 'GET /cache/info', status: 200, example: 'GET /cache/info' },
  { world: 'never read', call: 'GET /cache/info', status: 200 },
  { call: 'POST /cache/refresh', status: 200, example: 'POST /cache/refresh' },
  { world: 'down', call: 'POST /cache/refresh', status: 503, detail: /MLflow cannot be reached/ },
  { call: 'DELETE /cache/clear', status: 200, example: 'DELETE /cache/clear' },
  { world: 'no file', call: 'DELETE /cache/clear', status: 409, detail: /^No cache file is kept/ },
  {
    world: 'stuck file',
    call: 'DELETE /cache/clear',
    status: 503,
    detail: /^the cache file cannot be removed \(E\w+\)$/,
  },
  { call: 'GET /dashboard/summary', status: 200, example: 'GET /dashboard/summary' },
  { world: 'never read', call: 'GET /dashboard/summary', status: 503 },
];
