import { describe, expect, it } from 'vitest';
import { fakeMlflow } from '../fakes/mlflow.ts';
import { smallRegistry } from '../fakes/small-registry.ts';
import { signedHeaders } from '../support/signed.ts';
import { handClock, settle } from '../support/sources.ts';
import { testTower } from '../support/tower.ts';

type Item = { registry: string; name: string; version: string };

/** Two registries: `prod` has the small one, `lab` has DNA too and a model of its own. */
async function twoRegistries(env: Record<string, string> = {}) {
  const lab = smallRegistry();
  const extra = { name: 'lab-only', creation_timestamp: 1_700_000_000_000, aliases: [] };
  lab.models = [...lab.models.filter((item) => item['name'] !== 'aliased'), extra];
  lab.versions = [
    ...lab.versions.filter((item) => item['name'] !== 'aliased'),
    { ...lab.versions[0], name: 'lab-only', version: '1', current_stage: 'Production' },
  ];
  const fakes = { prod: await fakeMlflow(smallRegistry()), lab: await fakeMlflow(lab) };
  const clock = handClock();
  const tower = await testTower(
    { MLFLOW_TRACKING_URI: `prod=${fakes.prod.url},lab=${fakes.lab.url}`, MLFLOW_WEBHOOK_SECRET: 's', ...env },
    { clock },
  );
  const of = (name: string) => {
    const found = tower.services.registries.find((item) => item.name === name);
    if (!found) throw new Error(`no registry ${name}`);
    return found;
  };
  const refresh = async () => {
    for (const { registry } of tower.services.registries) await registry.refresh().catch(() => undefined);
  };
  await refresh();
  const get = async <T>(url: string) => (await tower.app.inject(url)).json<T>();
  return { ...tower, fakes, clock, of, refresh, get };
}

describe('several registries in one server', () => {
  it('are merged into one list by name and registry, with pages and filters', async () => {
    const { app, get } = await twoRegistries();
    const all = await get<Item[]>('/models/all?fields=registry,name,version');
    expect(all.map((item) => `${item.registry} ${item.name} ${item.version}`)).toEqual([
      'lab DNA 1',
      'lab DNA 2',
      'lab DNA 10',
      'prod DNA 1',
      'prod DNA 2',
      'prod DNA 10',
      'prod aliased 1',
      'prod aliased 2',
      'lab lab-only 1',
    ]);
    const paged: Item[] = [];
    for (let url = '/models/all?limit=2&order_by=metrics.accuracy desc&fields=registry,name,version'; url; ) {
      const response = await app.inject(encodeURI(url));
      paged.push(...response.json<Item[]>());
      url = decodeURIComponent(/<([^>]+)>/.exec(String(response.headers['link'] ?? ''))?.[1] ?? '');
    }
    expect(paged).toHaveLength(all.length);
    expect(new Set(paged.map((item) => JSON.stringify(item))).size).toBe(all.length);
    expect((await get<Item[]>('/models')).map((item) => `${item.registry} ${item.name}`)).toEqual([
      'lab DNA',
      'prod DNA',
      'prod aliased',
      'lab lab-only',
    ]);
    expect(await get<Item[]>('/experiments')).toMatchObject([
      { registry: 'lab' },
      { registry: 'prod' },
      { registry: 'lab' },
      { registry: 'prod' },
    ]);
  });

  it('answer as a single registry does with ?registry= or by path', async () => {
    const { get } = await twoRegistries();
    const single = await get<object[]>('/registries/prod/models/all');
    expect(single[0]).not.toHaveProperty('registry');
    expect(await get('/models/all?registry=prod')).toEqual(single);
    expect(await get<Item[]>('/model/DNA/versions?registry=lab&limit=1')).toHaveLength(1);
    expect(await get('/dashboard/summary?registry=lab')).toMatchObject({ total_models: 4 });
  });

  it('find a model that only one of them has; a name in both is refused as ambiguous', async () => {
    const { app, get } = await twoRegistries();
    expect(await get<Item[]>('/model/lab-only/versions')).toHaveLength(1);
    expect(await get('/model/aliased/history')).toMatchObject({ name: 'aliased' });
    const unclear = await app.inject('/model/DNA/versions');
    expect(unclear.statusCode).toBe(400);
    expect(unclear.json()).toMatchObject({
      detail: 'registry must be set, as ?registry= and one of prod, lab: prod and lab have a model of this name',
      error: { details: { parameter: 'registry' } },
    });
    expect((await app.inject('/model/nope/versions')).statusCode).toBe(404);
    expect(await get('/cache/info')).toMatchObject({
      detail: 'registry must be set, as ?registry= and one of prod, lab',
    });
    expect(await get('/cache/info?registry=x')).toMatchObject({ detail: 'registry must be one of prod, lab' });
    // Paths that do not belong to one registry behave as with a single registry.
    const statusOf = async (method: 'GET' | 'DELETE', url: string) => (await app.inject({ method, url })).statusCode;
    expect(await statusOf('GET', '/health?registry=x')).toBe(await statusOf('GET', '/health'));
    expect(await statusOf('GET', '/api/v1/metrics?registry=x')).toBe(await statusOf('GET', '/api/v1/metrics?other=x'));
    expect(await statusOf('GET', '/nowhere?registry=x')).toBe(404);
    expect(await statusOf('DELETE', '/model/DNA/versions')).toBe(404);
    expect((await app.inject('/nowhere')).statusCode).toBe(404);
  });

  it('keep working if one of them is down', async () => {
    const { app, get, fakes, refresh } = await twoRegistries();
    await fakes.lab.close();
    await refresh();
    expect(await get('/health')).toMatchObject({
      status: 'degraded',
      mlflow_connection: 'disconnected',
      models_count: 9,
      last_error: expect.stringMatching(/^lab: cannot reach MLflow/),
      registries: [
        { name: 'prod', status: 'healthy', stale: false, last_error: null },
        { name: 'lab', status: 'degraded', stale: true },
      ],
    });
    expect((await app.inject('/models/all')).headers['x-cache-stale']).toBe('true');
    const prod = await app.inject('/models/all?registry=prod');
    expect(prod.headers['x-cache-stale']).toBe('false');
    expect((await app.inject('/model/DNA/drift?registry=prod')).statusCode).toBe(200);
    const metrics = (await app.inject('/metrics')).body;
    expect(metrics).toContain('tower_mlflow_up{registry="prod"} 1');
    expect(metrics).toContain('tower_mlflow_up{registry="lab"} 0');
    expect(metrics).toContain('tower_registry_model_versions{registry="lab",stage="Production"} 2');
  });

  it('report a registry that was never read', async () => {
    const fake = await fakeMlflow(smallRegistry());
    const tower = await testTower({ MLFLOW_TRACKING_URI: `prod=${fake.url},lab=http://127.0.0.1:9` });
    expect((await tower.app.inject('/models/all')).statusCode).toBe(503);
    for (const { registry } of tower.services.registries) await registry.refresh().catch(() => undefined);
    const response = await tower.app.inject('/models/all');
    expect(response.statusCode).toBe(200);
    expect(response.headers).toMatchObject({ 'x-registries-missing': 'lab', 'x-cache-stale': 'true' });
    expect((await tower.app.inject('/readyz')).statusCode).toBe(200);
    expect((await tower.app.inject('/models/all?registry=lab')).statusCode).toBe(503);
    // It is unknown whether lab has one too.
    const unclear = await tower.app.inject('/model/aliased/versions');
    expect(unclear.statusCode).toBe(400);
    expect(unclear.json<{ detail: string }>().detail).toMatch(/: lab was not read yet and may have one too$/);
  });

  it('have separate journals, monitored versions and observations', async () => {
    const { app, get, fakes, refresh, clock } = await twoRegistries();
    const dna = fakes.lab.registry.models.find((item) => item['name'] === 'DNA') ?? {};
    dna['aliases'] = [{ alias: 'blue', version: '2' }];
    await clock.advance(60_000);
    await refresh();
    const events = await get<{ registry: string; type: string }[]>('/models/events?type=model_version_alias.created');
    expect(events).toMatchObject([{ registry: 'lab', type: 'model_version_alias.created' }]);
    expect(await get('/models/events?registry=prod')).toEqual([]);
    const body = { model_type: 'classifier', registered_by: 'dana' };
    await app.inject({ method: 'POST', url: '/models/DNA/1/monitor?registry=lab', payload: body });
    expect(await get('/monitor?registry=lab')).toHaveLength(1);
    expect(await get('/monitor?registry=prod')).toEqual([]);
    const payload = { observations: [{ at: '2026-11-19T00:00:00Z', metric: 'accuracy', value: 0.5 }] };
    await app.inject({ method: 'POST', url: '/model/DNA/1/observations?registry=lab', payload });
    const drift = async (name: string) =>
      (await get<{ points: object[] }[]>(`/model/DNA/drift?registry=${name}`)).flatMap((item) => item.points);
    expect(await drift('lab')).toHaveLength(1);
    expect(await drift('prod')).toEqual([]);
  });

  it("receive MLflow's webhooks at an address of their own", async () => {
    const { app, fakes, clock, of } = await twoRegistries();
    const dna = fakes.lab.registry.models.find((item) => item['name'] === 'DNA') ?? {};
    dna['aliases'] = [{ alias: 'blue', version: '2' }];
    const body = JSON.stringify({ entity: 'model_version_alias', action: 'created', data: { name: 'DNA' } });
    const headers = signedHeaders('s', body, { at: clock.now() });
    const response = await app.inject({ method: 'POST', url: '/webhooks/mlflow?registry=lab', headers, payload: body });
    expect(response.statusCode).toBe(202);
    const deadline = Date.now() + 5_000;
    while (!('blue' in (await of('lab').registry.model('DNA')).aliases) && Date.now() < deadline) await settle();
    expect((await of('lab').registry.model('DNA')).aliases).toEqual({ blue: '2' });
    expect((await of('prod').registry.model('DNA')).aliases).not.toHaveProperty('blue');
  });

  it('share authentication and scopes', async () => {
    const { app } = await twoRegistries({ AUTH_ENABLED: 'true' });
    for (const url of [
      '/models/all',
      '/models/all?registry=prod',
      '/registries/lab/cache/info',
      '/model/lab-only/versions',
      '/registries/lab/models/events',
    ])
      expect((await app.inject(url)).statusCode, url).toBe(401);
    const document = (await app.inject('/openapi.json')).json<{ paths: Record<string, Record<string, object>> }>();
    expect(Object.keys(document.paths)).toContain(
      '/registries/lab/model/{model_name}/gate'.replace('/gate', '/{model_version}/gate'),
    );
    for (const [path, methods] of Object.entries(document.paths)) {
      for (const [method, operation] of Object.entries(methods)) {
        if (!('x-required-scope' in operation))
          expect(`${method} ${path}`).toMatch(/^get \/(healthz|readyz)?$|^post \/registries\/\w+\/webhooks\/mlflow$/);
      }
    }
  });
});

describe('several registries before authentication', () => {
  it.each([
    ['GET', '/model/DNA/versions'],
    ['GET', '/model/nowhere/versions'],
    ['GET', '/cache/info?registry=x'],
    ['GET', '/models/monitored'],
    ['POST', '/cache/refresh'],
    ['DELETE', '/models/DNA/1/monitor'],
  ] as const)('reveal nothing about themselves: %s %s', async (method, url) => {
    const { app, services } = await twoRegistries({ AUTH_ENABLED: 'true' });
    const anonymous = await app.inject({ method, url });
    expect([anonymous.statusCode, anonymous.headers['x-ratelimit-limit'] !== undefined]).toEqual([401, true]);
    expect(anonymous.body).not.toMatch(/prod|lab/);
    const { key } = await services.access.keys.create({ name: 'r', scopes: ['read'], expires_in_days: 1 }, 'test');
    const known = await app.inject({ method, url, headers: { 'x-api-key': key } });
    expect([400, 404]).toContain(known.statusCode);
  });
});
