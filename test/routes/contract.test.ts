import { randomUUID } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import Ajv from 'ajv/dist/2020.js';
import addFormats from 'ajv-formats';
import { beforeEach, describe, expect, it } from 'vitest';
import { ForecastRequest } from '#services/forecast/schemas.ts';
import { modelFile } from '#services/forecast/training/model-library.ts';
import { fakeMlflow } from '../fakes/mlflow.ts';
import { smallRegistry } from '../fakes/small-registry.ts';
import { forAllTests } from '../support/cleanup.ts';
import { clusteredEnv } from '../support/cluster-series.ts';
import { writeExperiments } from '../support/experiments.ts';
import { jobInCluster } from '../support/jobs-in-cluster.ts';
import { injectionOf as inject } from '../support/signed.ts';
import { onPostgres, openRawSql } from '../support/stores.ts';
import { type TestTower, testTower } from '../support/tower.ts';
import { endlessQuery, impatient, metrics, prometheusErrors, quotas } from './contract-analytics-cases.ts';
import { cases, monitorBody } from './contract-cases.ts';
import { type Case, typeOfError, type World } from './contract-change-cases.ts';

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

type InWorld = TestTower & { ids: { webhook: string; delivery: string; key: string; job: string } };

async function towerIn(world: World): Promise<InWorld> {
  const registry = smallRegistry();
  const end = 1_700_007_200_000;
  Object.assign(registry.runs[0]?.data ?? {}, {
    metrics: [{ key: 'accuracy', value: 0.94, timestamp: end + 5000, step: 9 }],
  });
  registry.histories['run1 accuracy'] = [{ key: 'accuracy', value: 0.94, timestamp: end + 5000, step: 9 }];
  const fake = await fakeMlflow(registry);
  const env = {
    MLFLOW_TRACKING_URI: fake.url,
    ...(world === 'busy' ? Object.fromEntries(quotas.map((name) => [`RATE_LIMIT_${name}PER_MINUTE`, '1'])) : {}),
    ...(world === 'no file' ? { ENABLE_CACHE_PERSISTENCE: 'false' } : { MLFLOW_WEBHOOK_SECRET: 'right' }),
    ...(/^(hooked|given up)$/.test(world) ? { OUTBOUND_ALLOWED_HOSTS: '127.0.0.1', WEBHOOK_MAX_ATTEMPTS: '1' } : {}),
    ...(world === 'impatient' ? impatient : {}),
    ...(/^(clustered|experiment(ing|ed)|appl(ying|ied)|under load|loaded)$/.test(world) ? await clusteredEnv() : {}),
    ...(/^(with gate rules|never read)$/.test(world) ? { GATE_RULES_FILE: 'test/fixtures/gate-rules.json' } : {}),
    ...(world === 'no experiments' ? { EXPERIMENTS_DIRECTORY: import.meta.filename } : {}),
    ...(world === 'busy streams' ? { STREAM_MAX_CLIENTS: '1' } : {}),
  };
  const tower = await testTower(env);
  if (world !== 'never read') await tower.services.registry.refresh();
  if (world === 'with metrics' || world === 'impatient') await tower.services.analytics.record({ metrics });
  // Other requests occupy the only threads.
  if (world === 'impatient') {
    tower.services.forecast.forecast(endless).catch(() => undefined);
    tower.services.analytics.query('promqlRange', [endlessQuery]).catch(() => undefined);
  }
  if (world === 'stuck file') {
    const [file = ''] = readdirSync(join(tower.directory, 'cache'));
    rmSync(join(tower.directory, 'cache', file));
    mkdirSync(join(tower.directory, 'cache', file));
  }
  if (world === 'down' || world === 'never read') {
    await fake.close();
    await tower.services.registry.refresh().catch(() => undefined);
  }
  const { changes } = tower.services;
  if (world === 'pinned')
    await tower.services.drift.pin('DNA', '1', { subject: 'accuracy', value: 1, sd: 1, n: 2 }, 'dana');
  if (world === 'no streams') changes.stopStreams();
  if (world === 'busy streams') await (await changes.stream({}, undefined, new AbortController().signal)).next();
  if (world === 'no audit') {
    const edit = await openRawSql(join(tower.directory, 'data'));
    await edit('drop table audit');
  }
  const made =
    world === 'with a key'
      ? await tower.app.inject({
          method: 'POST',
          url: '/api/v1/access/keys',
          payload: { name: 'ci', scopes: ['read'] },
        })
      : null;
  const job = (await jobInCluster(tower, world)) ?? (await trained(tower, world));
  return { ...tower, ids: { ...(await hooked(tower, world)), key: made?.json<{ id: string }>().id ?? 'x', job } };
}

const endless = ForecastRequest.parse({
  values: Array.from({ length: 19_200 }, (_, i) => (i % 24) + (i % 7)),
  horizon: 400,
});
let modelText: string | undefined;

/** Experiments of a service and its model; or the training job: running, or finished. */
async function trained({ directory, services: { training } }: TestTower, world: World): Promise<string> {
  if (!['experiments', 'training', 'done training', 'trained', 'damaged model'].includes(world)) return randomUUID();
  writeExperiments(join(directory, 'data', 'experiments'), 'cart');
  const file = join(directory, 'data', 'models', modelFile('cart'));
  if (world === 'trained' || world === 'damaged model') {
    // Trained once for all tests.
    if (modelText === undefined)
      await readToEnd(training.jobs.events((await training.train('cart', { epochs: 1 })).id, never));
    modelText ??= readFileSync(file, 'utf8');
    mkdirSync(join(directory, 'data', 'models'), { recursive: true });
    writeFileSync(file, world === 'trained' ? modelText : '{}');
  }
  if (world !== 'training' && world !== 'done training') return randomUUID();
  const { id } = await training.train('cart', { epochs: world === 'training' ? 200 : 1 });
  if (world === 'done training') await readToEnd(training.jobs.events(id, never));
  return id;
}

const never = new AbortController().signal;
async function readToEnd(frames: AsyncGenerator<string>): Promise<void> {
  while (!(await frames.next()).done);
}

/** A webhook and a delivery to it, pending or failed. */
async function hooked(
  { services: { changes }, outbox }: TestTower,
  world: World,
): Promise<Pick<InWorld['ids'], 'webhook' | 'delivery'>> {
  if (world !== 'hooked' && world !== 'given up') return { webhook: 'x', delivery: '1' };
  const { id } = await changes.webhooks.create({ url: 'http://127.0.0.1:9/T0/secret' }, 'dana');
  await changes.webhooks.test(id);
  const [delivery] = await changes.webhooks.deliveries(id, {});
  // Nothing listens there, and only one attempt is allowed.
  if (world === 'given up') await outbox.step(new AbortController().signal);
  return { webhook: id, delivery: String(delivery?.id) };
}

/** The documented path of a URL. */
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
  if (status === 204) return expect(document.paths[path]?.[method]?.responses).toHaveProperty('204');
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

/** Every field of the documented example must exist with the same JSON type; free-form maps and null are skipped. */
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

const towers = new Map<World, InWorld>();

/** One instance for all read-only cases of a world: reads and refusals. */
async function towerFor({ world = 'up', call, status, before }: Case): Promise<InWorld> {
  const changesNothing = (call.startsWith('GET ') || status >= 400) && !before && lasting.has(world);
  if (!changesNothing) return towerIn(world);
  const tower = towers.get(world) ?? (await forAllTests(() => towerIn(world)));
  towers.set(world, tower);
  return tower;
}
const lasting = new Set<World>(['up', 'down', 'never read', 'clustered', 'with metrics', 'experiments', 'trained']);

/** Cluster routes do not depend on the store; their jobs work like training jobs, which are tested with both. */
const onThisEngine = onPostgres ? cases.filter(({ call }) => !/\/(rightsizing|acquisition)\//.test(call)) : cases;

describe('every documented endpoint', () => {
  it.each(onThisEngine)('$call → $status ($world, signed with $signedWith)', async (row) => {
    const { call: template, body, signedWith, encoding, before = [], status, parameter, detail, example } = row;
    const { app, ids } = await towerFor(row);
    const call = template
      .replace('{webhook}', ids.webhook)
      .replace('{delivery}', ids.delivery)
      .replace('{key}', ids.key)
      .replace('{job}', ids.job);
    for (const earlier of before) expect((await app.inject(inject(earlier, monitorBody))).statusCode).toBe(201);
    const response = await app.inject(inject(call, body, signedWith, encoding));
    expect(response.statusCode, response.body).toBe(status);
    const type = String(response.headers['content-type']);
    const json: unknown = type.startsWith('application/json') ? response.json() : null;
    expectDocumented(call, status, type, json);
    if (detail) expect((json as { detail: string }).detail).toMatch(detail);
    if (parameter) expect(json).toMatchObject({ error: { details: { parameter } } });
    if (status >= 400 && call.includes(' /prometheus/api/v1/') && !/write|import/.test(call))
      expect(json).toMatchObject({ status: 'error', errorType: prometheusErrors[status] });
    else if (status >= 400)
      expect(json).toMatchObject({
        detail: (json as { error: { message: string } }).error.message,
        error: { type: typeOfError[status] },
      });
    if (example !== undefined) {
      // The documented drift example has values in its first version; ours in the version that has any.
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
    const isRefused = (call: string, status: number) => status === (call.endsWith('/api/v1/write') ? 503 : 429);
    const last = refused.filter(({ call, response }) => isRefused(call, response.statusCode));
    // One request of each kind was allowed.
    expect(last).toHaveLength(paths.length - quotas.length);
    for (const { call, response } of last) {
      expectDocumented(call, response.statusCode, 'application/json', response.json());
      expect(response.headers['retry-after']).toMatch(/^\d+$/);
      expect(response.headers['x-ratelimit-limit']).toBe('1');
    }
    expect((await app.inject('/unknown/path')).statusCode).toBe(429);
  });
});

describe('the OpenAPI document', () => {
  it('has a summary and an example for every operation, and all its statuses are tested above', () => {
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
          if (Number(status) < 300 && status !== '204')
            expect(content?.example, `${method} ${path} ${status} has an example`).toBeTruthy();
          // Permissions have a table of their own.
          if (!['429', '431', '401', '403'].includes(status))
            expect(covered, `${method} ${path} ${status} is tested`).toContain(JSON.stringify([path, method, status]));
        }
      }
    }
  });

  it('has valid examples', () => {
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

  it('has every documented endpoint', () => {
    const documented = Object.entries(document.paths).flatMap(([path, methods]) =>
      Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`),
    );
    expect(documented).toEqual(expect.arrayContaining(Object.keys(examples)));
  });
});
