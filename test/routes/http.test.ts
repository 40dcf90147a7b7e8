import { gunzipSync } from 'node:zlib';
import type { LightMyRequestResponse } from 'fastify';
import { describe, expect, it, vi } from 'vitest';
import { fakeMlflow } from '../fakes/mlflow.ts';
import { smallRegistry } from '../fakes/small-registry.ts';
import { settle } from '../support/sources.ts';
import { testTower } from '../support/tower.ts';
import { composeInstance } from './compose-instance.ts';

const minute = 60_000;

describe('lists over HTTP', () => {
  it('state their age and source, and answer 304 to matching ETags', async () => {
    const { app, clock } = await composeInstance();
    await clock.advance(90_000);
    const first = await app.inject('/models/all');
    expect(first.headers).toMatchObject({
      age: '90',
      'x-cache-stale': 'false',
      'x-data-source': 'mlflow',
      'x-total-count': '5',
    });
    const again = await app.inject({ url: '/models/all', headers: { 'if-none-match': String(first.headers['etag']) } });
    expect(again.statusCode).toBe(304);
    expect(again.body).toBe('');
    expect(again.headers['age']).toBe('90');
  });

  it('change their ETag exactly when the content changes', async () => {
    const { app, services, fake } = await composeInstance();
    const tag = async () => (await app.inject('/models/all')).headers['etag'];
    const before = await tag();
    await services.registry.refresh();
    expect(await tag()).toBe(before);
    Object.assign(fake.registry.versions[0] ?? {}, { description: 'new words' });
    await services.registry.refresh();
    expect(await tag()).not.toBe(before);
  });

  it('are compressed with gzip if accepted, with the same content', async () => {
    const { app } = await composeInstance();
    const plain = await app.inject('/models/all');
    const zipped = await app.inject({ url: '/models/all', headers: { 'accept-encoding': 'br, gzip;q=0.8' } });
    expect(zipped.headers['content-encoding']).toBe('gzip');
    expect(gunzipSync(zipped.rawPayload).toString()).toBe(plain.body);
    expect(plain.headers['vary']).toBe('accept-encoding');
    const refused = await app.inject({ url: '/models/all', headers: { 'accept-encoding': 'gzip;q=0, identity' } });
    expect(refused.headers['content-encoding']).toBeUndefined();
  });

  it('are paginated at MAX_MODELS_RETURNED, with Link headers', async () => {
    const { app } = await composeInstance({ MAX_MODELS_RETURNED: '2' });
    const names: string[] = [];
    let url: string | undefined = '/models/all?fields=name,version';
    while (url) {
      const response: LightMyRequestResponse = await app.inject(url);
      expect(response.headers['x-total-count']).toBe('5');
      names.push(...response.json<{ name: string; version: string }[]>().map((item) => `${item.name} ${item.version}`));
      url = /<([^>]+)>; rel="next"/.exec(String(response.headers['link'] ?? ''))?.[1];
    }
    expect(names).toEqual(['DNA 1', 'DNA 2', 'DNA 10', 'aliased 1', 'aliased 2']);
  });

  it('show an alias-only registry correctly', async () => {
    const { app, services, fake } = await composeInstance();
    for (const version of fake.registry.versions) version['current_stage'] = 'None';
    await services.registry.refresh();
    const models = (await app.inject('/models')).json<
      { name: string; stage: string; current_stage: string; stage_source: string }[]
    >();
    expect(
      models.map(({ name, stage, current_stage, stage_source }) => [name, stage, current_stage, stage_source]),
    ).toEqual([
      ['DNA', 'Production', 'None', 'alias'],
      ['aliased', 'Production', 'None', 'alias'],
    ]);
  });

  it('accept any percent-encoded name in a path', async () => {
    const { app, services, fake } = await composeInstance();
    const names = ['a/b', 'Detox: CAT', '50% "off"', "it's", ' blank ', 'Größe 模型 🚀', 'x'.repeat(256), '__proto__'];
    fake.registry.versions = names.map((name) => ({ name, version: '1', current_stage: 'None', run_id: '' }));
    await services.registry.refresh();
    for (const name of names) {
      const path = encodeURIComponent(name);
      const versions = await app.inject(`/model/${path}/versions`);
      expect(versions.json(), name).toMatchObject([{ name, version: '1' }]);
      const monitored = await app.inject({
        method: 'POST',
        url: `/models/${path}/1/monitor`,
        payload: { model_type: 'regressor', registered_by: 'x' },
      });
      expect(monitored.statusCode, name).toBe(201);
    }
    expect((await app.inject('/models/monitored/regressor')).json()).toHaveLength(names.length);
    expect((await app.inject('/model/%ZZ/versions')).statusCode).toBe(400);
  });
});

describe('unknown and malformed paths', () => {
  it.each([
    '/model/%ZZ/versions',
    '/nowhere',
    `/${'x'.repeat(5000)}`,
  ])('count against the rate limit: %s', async (url) => {
    const { app } = await composeInstance({ RATE_LIMIT_PER_MINUTE: '2' });
    const answers = [await app.inject(url), await app.inject(url), await app.inject(url)];
    expect(answers[0]!.statusCode).toBeOneOf([400, 404]);
    expect(answers[2]!.statusCode).toBe(429);
    expect(answers[2]!.headers['retry-after']).toBeDefined();
    expect(answers[2]!.json()).toMatchObject({ error: { type: 'limited' } });
  });
});

describe('while MLflow is down', () => {
  it('lists are still served with their age, and health is degraded', async () => {
    const { app, services, fake, clock } = await composeInstance();
    await app.inject('/runs/1');
    await fake.close();
    await clock.advance(10 * minute);
    await services.registry.refresh().catch(() => undefined);
    const list = await app.inject('/models/all');
    expect(list.json()).toHaveLength(5);
    expect(list.headers).toMatchObject({ age: '600', 'x-cache-stale': 'true' });
    expect((await app.inject('/health')).json()).toMatchObject({
      status: 'degraded',
      mlflow_connection: 'disconnected',
      stale: true,
      cache_age_seconds: 600,
      last_error: expect.stringContaining('cannot reach'),
    });
    expect((await app.inject('/readyz')).statusCode).toBe(200);
    const runs = await app.inject('/runs/1');
    expect(runs.json()).toHaveLength(3);
    expect(runs.headers).toMatchObject({ age: '600', 'x-cache-stale': 'true' });
    const never = await app.inject('/runs/2');
    expect(never.statusCode).toBe(503);
    expect(never.headers['retry-after']).toBeDefined();
  });

  it('a failed read is reported at once, and a job retries within seconds', async () => {
    const { app, fake, clock, startJobs, services } = await composeInstance();
    startJobs();
    const refreshJob = () => services.system.health().jobs.find((job) => job.name === 'registry-refresh');
    await vi.waitFor(() => expect(refreshJob()).toBeDefined());
    await clock.advance(1_200);
    await vi.waitFor(() => expect(refreshJob()?.status).toBe('succeeded'));
    await fake.close();
    expect((await app.inject('/runs/1')).statusCode).toBe(503);
    expect((await app.inject('/health')).json()).toMatchObject({
      status: 'degraded',
      mlflow_connection: 'disconnected',
    });
    const drift = await app.inject('/model/aliased/drift');
    expect(drift.headers['x-cache-stale']).toBe('true');
    await settle();
    expect(Date.parse(refreshJob()?.next_run_at ?? '') - clock.now()).toBeLessThanOrEqual(5_500);
  });

  it('a check once a minute detects it before the next refresh', async () => {
    const { app, fake, clock, startJobs } = await composeInstance();
    startJobs();
    await clock.advance(0);
    await fake.close();
    await clock.advance(66_000);
    await vi.waitFor(async () =>
      expect((await app.inject('/health')).json()).toMatchObject({ mlflow_connection: 'disconnected' }),
    );
  });

  it('a restart serves the cache file', async () => {
    const { services, fake, directory, clock } = await composeInstance();
    await services.registry.refresh();
    await fake.close();
    const second = await testTower({ MLFLOW_TRACKING_URI: fake.url, CACHE_DIRECTORY: `${directory}/cache` }, { clock });
    const health = (await second.app.inject('/health')).json<object>();
    expect(health).toMatchObject({ status: 'healthy', mlflow_connection: 'connecting', models_count: 5 });
    expect((await second.app.inject('/models')).json()).toHaveLength(2);
  });

  it('sample data in its place is labelled on every answer and never called healthy', async () => {
    const fake = await fakeMlflow(smallRegistry());
    await fake.close();
    const { app, services } = await testTower({ MLFLOW_TRACKING_URI: fake.url, ENABLE_MOCK_DATA: 'true' });
    await services.registry.refresh().catch(() => undefined);
    for (const path of [
      '/models',
      '/models/all?limit=1',
      '/experiments',
      '/dashboard/summary',
      '/model/churn-predictor/versions',
      '/model/churn-predictor/drift',
      '/models/monitored',
      '/runs/1',
      '/monitor',
      '/models/churn-predictor/1/monitor/status',
      '/cache/info',
    ]) {
      const response = await app.inject(path);
      expect([path, response.statusCode, response.headers['x-data-source']]).toEqual([path, 200, 'sample']);
    }
    expect((await app.inject('/health')).json()).toMatchObject({
      status: 'degraded',
      data_source: 'sample',
      notice: expect.stringContaining('sample data'),
    });
  });
});
