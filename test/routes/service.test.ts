import { describe, expect, it } from 'vitest';
import { fakeMlflow } from '../fakes/mlflow.ts';
import { smallRegistry } from '../fakes/small-registry.ts';
import { testTower } from '../support/tower.ts';
import { composeInstance } from './compose-instance.ts';

describe('settings that change answers', () => {
  it('ENABLE_CACHE=false reads MLflow on each request, and reports failures', async () => {
    const fake = await fakeMlflow(smallRegistry());
    const { app } = await testTower({ MLFLOW_TRACKING_URI: fake.url, ENABLE_CACHE: 'false' });
    expect((await app.inject('/models/all')).json()).toHaveLength(5);
    fake.registry.versions.pop();
    expect((await app.inject('/models/all')).json()).toHaveLength(4);
    expect((await app.inject('/cache/info')).json()).toMatchObject({
      system_status: { tracking_method: 'direct', cache_enabled: false },
      cache_info: { persistence: { enabled: false } },
    });
    await fake.close();
    expect((await app.inject('/models/all')).statusCode).toBe(503);
  });

  it('ENABLE_DEBUG_ENDPOINTS=false removes the debug route', async () => {
    const { app } = await composeInstance({ ENABLE_DEBUG_ENDPOINTS: 'false' });
    expect((await app.inject('/debug/monitored')).statusCode).toBe(404);
  });

  it('CORS_ORIGINS is empty by default, which disables CORS', async () => {
    const headers = { origin: 'https://grafana.example.com' };
    const closed = await composeInstance();
    expect(
      (await closed.app.inject({ url: '/models', headers })).headers['access-control-allow-origin'],
    ).toBeUndefined();
    const open = await composeInstance({ CORS_ORIGINS: 'https://grafana.example.com, https://x.example.com' });
    expect((await open.app.inject({ url: '/models', headers })).headers['access-control-allow-origin']).toBe(
      'https://grafana.example.com',
    );
  });

  it('BODY_LIMIT_BYTES limits bodies, which must be JSON', async () => {
    const { app } = await composeInstance({ BODY_LIMIT_BYTES: '1024' });
    const post = (payload: string, type = 'application/json') =>
      app.inject({ method: 'POST', url: '/monitor', payload, headers: { 'content-type': type } });
    expect((await post(JSON.stringify({ model_name: 'x'.repeat(2000) }))).statusCode).toBe(413);
    expect((await post('{not json')).json()).toMatchObject({
      detail: expect.stringMatching(/not valid JSON|JSON/),
      error: { type: 'invalid' },
    });
    expect((await post('a=b', 'application/x-www-form-urlencoded')).statusCode).toBe(415);
  });
});

describe('monitored versions', () => {
  it('survive a restart, and remain removable after MLflow deletes them', async () => {
    const { app, directory, fake, services } = await composeInstance();
    await app.inject({
      method: 'POST',
      url: '/models/DNA/2/monitor',
      payload: { model_type: 'regressor', registered_by: 'dana' },
    });
    fake.registry.versions = fake.registry.versions.filter((item) => item['version'] !== '2');
    await services.registry.refresh();
    const again = await testTower({ MLFLOW_TRACKING_URI: fake.url, DATA_DIRECTORY: `${directory}/data` });
    expect((await again.app.inject('/monitor')).json()).toMatchObject([
      { model_name: 'DNA', model_version: '2', in_registry: null },
    ]);
    await again.services.registry.refresh();
    expect((await again.app.inject('/monitor')).json()).toMatchObject([
      { registered_by: 'dana', run_id: 'run2', in_registry: false },
    ]);
    expect((await again.app.inject('/models/monitored')).json()).toEqual([]);
    expect((await again.app.inject({ method: 'DELETE', url: '/monitor/DNA/2' })).statusCode).toBe(200);
    expect((await again.app.inject('/monitor')).json()).toEqual([]);
  });

  it('of the sample data do not appear in a real registry', async () => {
    const sample = await testTower({});
    await sample.app.inject({
      method: 'POST',
      url: '/models/churn-predictor/1/monitor',
      payload: { model_type: 'classifier', registered_by: 'x' },
    });
    expect((await sample.app.inject('/monitor')).json()).toHaveLength(1);
    const fake = await fakeMlflow(smallRegistry());
    const real = await testTower({ MLFLOW_TRACKING_URI: fake.url, DATA_DIRECTORY: `${sample.directory}/data` });
    await real.services.registry.refresh();
    expect((await real.app.inject('/monitor')).json()).toEqual([]);
  });

  it('show the registered type, and accept list queries', async () => {
    const { app } = await composeInstance();
    for (const [version, type] of [
      ['1', 'regressor'],
      ['2', 'classifier'],
    ]) {
      await app.inject({
        method: 'POST',
        url: `/models/DNA/${version}/monitor`,
        payload: { model_type: type, registered_by: 'x' },
      });
    }
    expect((await app.inject('/models/monitored?fields=version,model_type&order_by=version%20desc')).json()).toEqual([
      { version: '2', model_type: 'classifier' },
      { version: '1', model_type: 'regressor' },
    ]);
  });
});

describe('the HTTP service', () => {
  it('never reveals a secret', async () => {
    const fake = await fakeMlflow(smallRegistry());
    const uri = fake.url.replace('://', '://dana:hunter2@');
    const { app, services, logText } = await testTower({ MLFLOW_TRACKING_URI: uri, MLFLOW_TRACKING_TOKEN: 't0ken' });
    await services.registry.refresh();
    await fake.close();
    await services.registry.refresh().catch(() => undefined);
    const pages = await Promise.all(
      ['/', '/health', '/config', '/metrics', '/cache/info', '/runs/1', '/openapi.json'].map(
        async (path) => (await app.inject(path)).body,
      ),
    );
    expect([...pages, logText()].join('\n')).not.toMatch(/hunter2|t0ken/);
    expect((await app.inject('/config')).json()).toMatchObject({
      mlflow: { tracking_uri: fake.url, authentication: true },
    });
  });

  it('sends security headers and a request id, and keeps a valid one of the client', async () => {
    const { app } = await composeInstance();
    const own = await app.inject({ url: '/models', headers: { 'x-request-id': 'abc-1' } });
    expect(own.headers).toMatchObject({
      'x-request-id': 'abc-1',
      'x-content-type-options': 'nosniff',
      'content-security-policy': expect.stringContaining("default-src 'none'"),
    });
    const evil = await app.inject({ url: '/models', headers: { 'x-request-id': 'a b\u0001' } });
    expect(evil.headers['x-request-id']).toMatch(/^[0-9a-f-]{36}$/);
  });

  it('answers / with a page for browsers and JSON for programs', async () => {
    const { app } = await composeInstance();
    const browser = 'text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8';
    const page = await app.inject({ url: '/', headers: { accept: browser } });
    expect(page.headers).toMatchObject({ 'content-type': 'text/html; charset=utf-8', vary: 'Accept' });
    for (const [, path] of page.body.matchAll(/<a href="([^"]+)"/g))
      expect([path, (await app.inject(path!)).statusCode]).toEqual([path, 200]);
    for (const accept of ['*/*', 'application/json', 'application/json, text/html'])
      expect((await app.inject({ url: '/', headers: { accept } })).json()).toHaveProperty('version');
  });

  it('answers 500 with only the request id to unexpected errors, which the log details', async () => {
    const { app, services, logText } = await composeInstance();
    services.monitoring.count = async () => {
      throw new Error('secret path /etc/x');
    };
    const response = await app.inject('/dashboard/summary');
    expect(response.statusCode).toBe(500);
    expect(response.json()).toMatchObject({
      detail: `Internal error; the log has details under request id ${response.headers['x-request-id']}`,
      error: { type: 'internal' },
    });
    expect(response.body).not.toContain('secret path');
    expect(logText()).toContain('secret path');
  });

  it('answers 503 with Retry-After while its event loop is blocked, but stays live', async () => {
    const { app } = await composeInstance({ MAX_EVENT_LOOP_DELAY_MS: '50' });
    await app.ready();
    // Blocks the loop for longer than the sampling interval, then lets it be sampled; if it was sampled before, the
    // next sample sees it.
    let refused = await app.inject('/models');
    for (let attempt = 0; attempt < 5 && refused.statusCode !== 503; attempt += 1) {
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1200);
      await new Promise((resolve) => setTimeout(resolve, 1));
      refused = await app.inject('/models');
    }
    expect(refused.statusCode).toBe(503);
    expect(refused.headers['retry-after']).toBe('10');
    expect(refused.json()).toMatchObject({
      detail: 'The server is overloaded; retry later',
      error: { type: 'unavailable' },
    });
    expect((await app.inject('/healthz')).statusCode).toBe(200);
  });

  it('serves metrics as Prometheus text or OpenMetrics, by Accept', async () => {
    const { app } = await composeInstance();
    await app.inject('/models');
    const text = await app.inject('/metrics');
    expect(text.headers['content-type']).toMatch(/^text\/plain; version=0\.0\.4/);
    for (const line of [
      'tower_registry_model_versions{stage="Production"} 2',
      'tower_monitored_models 0',
      'tower_registry_cache_age_seconds 0',
      'tower_mlflow_up 1',
      'tower_registry_refreshes_total{outcome="success"} 1',
      'tower_http_request_duration_seconds_count{method="GET",route="/models",status="200"} 1',
      'tower_mlflow_request_duration_seconds_count{endpoint="/api/2.0/mlflow/runs/search",status="200"} 1',
    ]) {
      expect(text.body).toContain(line);
    }
    const open = await app.inject({
      url: '/metrics',
      headers: { accept: 'application/openmetrics-text; version=1.0.0' },
    });
    expect(open.headers['content-type']).toMatch(/^application\/openmetrics-text/);
    expect(open.body.trimEnd().endsWith('# EOF')).toBe(true);
    const again = await app.inject({ url: '/metrics', headers: { accept: 'application/openmetrics-text' } });
    const types = again.body.split('\n').filter((line) => line.startsWith('# TYPE'));
    expect(new Set(types).size).toBe(types.length);
    expect((await app.inject('/metrics')).body).toContain('tower_registry_refreshes_total{outcome="success"} 1');
  });

  it('serves its documentation without external resources', async () => {
    const { app } = await composeInstance();
    for (const path of ['/docs', '/docs/', '/redoc', '/docs/redoc.js', '/openapi.json'])
      expect([path, (await app.inject(path)).statusCode].join(' ')).toMatch(/ (200|308)$/);
    const page = await app.inject('/redoc');
    expect(page.body).not.toMatch(/https?:\/\//);
    expect(page.headers['content-security-policy']).toContain("script-src 'self'");
  });
});
