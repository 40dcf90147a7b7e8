import { mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import Ajv from 'ajv/dist/2020.js';
import addFormats from 'ajv-formats';
import type { InjectOptions } from 'fastify';
import { beforeEach, describe, expect, it } from 'vitest';
import { fakeMlflow, smallRegistry } from '../fakes/mlflow.ts';
import { type TestTower, testTower } from '../support/tower.ts';

/**
 * Every documented endpoint with every outcome it documents. Each answer is checked against the OpenAPI
 * document the tower serves, and each first success against the example of the contract.
 */
type World = 'up' | 'down' | 'never read' | 'busy' | 'no file' | 'stuck file';
type Case = {
  world?: World;
  call: string;
  body?: unknown;
  before?: string[];
  status: number;
  detail?: RegExp;
  example?: string;
};

const monitorBody = { model_type: 'classifier', registered_by: 'dana' };
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

const cases: Case[] = [
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

const examples = JSON.parse(readFileSync(new URL('../fixtures/seed-examples.json', import.meta.url), 'utf8')) as Record<
  string,
  unknown
>;

type Operation = { summary?: string; responses: Record<string, { content?: Record<string, { example?: unknown }> }> };
type Document = { openapi: string; paths: Record<string, Record<string, Operation>> };
let document: Document;
let ajv: Ajv.default | undefined;

beforeEach(async () => {
  if (ajv) return;
  const { app } = await towerIn('up');
  document = (await app.inject('/openapi.json')).json<Document>();
  ajv = new Ajv.default({ strict: false, allErrors: true });
  addFormats.default(ajv);
  ajv.addSchema(document, 'api');
});

async function towerIn(world: World): Promise<TestTower> {
  const registry = smallRegistry();
  const end = 1_700_007_200_000;
  Object.assign(registry.runs[0]?.data ?? {}, {
    metrics: [{ key: 'accuracy', value: 0.94, timestamp: end + 5000, step: 9 }],
  });
  registry.histories['run1 accuracy'] = [{ key: 'accuracy', value: 0.94, timestamp: end + 5000, step: 9 }];
  const fake = await fakeMlflow(registry);
  const env = {
    MLFLOW_TRACKING_URI: fake.url,
    ...(world === 'busy'
      ? { RATE_LIMIT_PER_MINUTE: '1', RATE_LIMIT_HEALTH_PER_MINUTE: '1', RATE_LIMIT_METRICS_PER_MINUTE: '1' }
      : {}),
    ...(world === 'no file' ? { ENABLE_CACHE_PERSISTENCE: 'false' } : {}),
  };
  const tower = await testTower(env);
  if (world !== 'never read') await tower.services.registry.refresh();
  if (world === 'stuck file') {
    const [file = ''] = readdirSync(join(tower.folder, 'cache'));
    rmSync(join(tower.folder, 'cache', file));
    mkdirSync(join(tower.folder, 'cache', file));
  }
  if (world === 'down' || world === 'never read') {
    await fake.close();
    await tower.services.registry.refresh().catch(() => undefined);
  }
  return tower;
}

const inject = (call: string, body?: unknown): InjectOptions => {
  const [method, url] = call.split(' ') as ['GET', string];
  return { method, url, ...(body === undefined ? {} : { payload: body as object }) };
};

/** The path in the document that an address belongs to. */
function operationOf(call: string): { path: string; method: string } {
  const [method = '', url = ''] = call.split(' ');
  const parts = url.replace(/\?.*$/, '').split('/');
  const path = Object.keys(document.paths)
    .filter(
      (known) =>
        known.split('/').length === parts.length &&
        known.split('/').every((part, i) => part.startsWith('{') || part === parts[i]),
    )
    .sort((a, b) => a.split('{').length - b.split('{').length)[0];
  if (!path) throw new Error(`${call} is not documented`);
  return { path, method: method.toLowerCase() };
}

function expectDocumented(call: string, status: number, contentType: string, body: unknown): void {
  const { path, method } = operationOf(call);
  const content = document.paths[path]?.[method]?.responses[String(status)]?.content;
  if (!content) throw new Error(`${call} answered ${status}, which is not documented`);
  const [type] = Object.keys(content);
  if (!contentType.startsWith('application/json')) return;
  const escape = (part: string) => encodeURIComponent(part.replaceAll('~', '~0').replaceAll('/', '~1'));
  const pointer = ['paths', path, method, 'responses', String(status), 'content', type ?? '', 'schema']
    .map(escape)
    .join('/');
  const validate = ajv?.compile({ $ref: `api#/${pointer}` });
  expect(validate?.(body), `${call} against the document: ${ajv?.errorsText(validate?.errors)}`).toBe(true);
}

/** Every field of the contract's example is there, of the same JSON type; free-form maps and null are left alone. */
function expectShape(actual: unknown, example: unknown, at: string): void {
  if (Array.isArray(example)) {
    expect(Array.isArray(actual), `${at} is a list`).toBe(true);
    if (example.length > 0) expectShape((actual as unknown[])[0], example[0], `${at}[0]`);
  } else if (
    typeof example === 'object' &&
    example !== null &&
    !/\.(tags|metrics|params|metrics_over_time\[0\])$/.test(at)
  ) {
    for (const [key, value] of Object.entries(example)) {
      expect(actual, at).toHaveProperty([key]);
      expectShape((actual as Record<string, unknown>)[key], value, `${at}.${key}`);
    }
  } else if (actual !== null) {
    expect(typeof actual, at).toBe(typeof example);
  }
}

describe('every endpoint of the contract', () => {
  it.each(cases)('$call → $status ($world)', async ({
    world = 'up',
    call,
    body,
    before = [],
    status,
    detail,
    example,
  }) => {
    const { app } = await towerIn(world);
    for (const earlier of before) expect((await app.inject(inject(earlier, monitorBody))).statusCode).toBe(201);
    const response = await app.inject(inject(call, body));
    expect(response.statusCode, response.body).toBe(status);
    const type = String(response.headers['content-type']);
    const json: unknown = type.startsWith('application/json') ? response.json() : null;
    expectDocumented(call, status, type, json);
    if (detail) expect((json as { detail: string }).detail).toMatch(detail);
    if (status >= 400) expect(json).toMatchObject({ detail: (json as { error: { message: string } }).error.message });
    if (example !== undefined) {
      // The contract's drift example has values in its first version, ours in the one that has any.
      expect(examples).toHaveProperty([example]);
      expectShape(json, examples[example], example);
    }
  });

  it('is rate limited: 429 with Retry-After, the limit and the usual headers', async () => {
    const { app } = await towerIn('busy');
    const paths = Object.entries(document.paths).flatMap(([path, methods]) =>
      Object.keys(methods).map((method) => `${method.toUpperCase()} ${path.replaceAll(/\{\w+\}/g, 'x')}`),
    );
    const refused = [];
    for (const call of paths) refused.push({ call, response: await app.inject(inject(call)) });
    const last = refused.filter(({ response }) => response.statusCode === 429);
    // One request of each of the three kinds (API, health, metrics) was let through.
    expect(last).toHaveLength(paths.length - 3);
    for (const { call, response } of last) {
      expectDocumented(call, 429, 'application/json', response.json());
      expect(response.headers['retry-after']).toMatch(/^\d+$/);
      expect(response.headers['x-ratelimit-limit']).toBe('1');
    }
    expect((await app.inject('/unknown/path')).statusCode).toBe(429);
  });
});

describe('the document', () => {
  it('is OpenAPI 3.1 with a summary and an example on every operation, and the table above covers every outcome', () => {
    expect(document.openapi).toBe('3.1.0');
    const covered = new Set(
      cases.map(({ call, status }) =>
        JSON.stringify([operationOf(call).path, operationOf(call).method, String(status)]),
      ),
    );
    for (const [path, methods] of Object.entries(document.paths)) {
      for (const [method, operation] of Object.entries(methods)) {
        expect(operation.summary, `${method} ${path} has a summary`).toBeTruthy();
        for (const [status, response] of Object.entries(operation.responses)) {
          const content = Object.values(response.content ?? {})[0];
          if (Number(status) < 300) expect(content?.example, `${method} ${path} ${status} has an example`).toBeTruthy();
          if (status !== '429')
            expect(covered, `${method} ${path} ${status} is tested`).toContain(JSON.stringify([path, method, status]));
        }
      }
    }
  });

  it('its own examples are valid', () => {
    for (const [path, methods] of Object.entries(document.paths)) {
      for (const [method, operation] of Object.entries(methods)) {
        for (const [status, response] of Object.entries(operation.responses)) {
          const content = Object.entries(response.content ?? {})[0];
          if (content?.[1].example !== undefined)
            expectDocumented(`${method} ${path}`, Number(status), content[0], content[1].example);
        }
      }
    }
  });

  it('every endpoint of the contract is in it', () => {
    const documented = Object.entries(document.paths).flatMap(([path, methods]) =>
      Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`),
    );
    expect(documented).toEqual(expect.arrayContaining(Object.keys(examples)));
  });
});
