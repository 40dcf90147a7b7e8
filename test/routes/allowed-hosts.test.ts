import { describe, expect, it } from 'vitest';
import { lockedTower } from '../support/locked-tower.ts';
import { testTower } from '../support/tower.ts';

const monitor = {
  method: 'POST' as const,
  url: '/models/churn-predictor/4/monitor',
  payload: { model_type: 'classifier', registered_by: 'dana' },
};

describe('a server without authentication', () => {
  it.each([
    ['localhost:8000', 200],
    ['LOCALHOST', 200],
    ['127.0.0.1:8000', 200],
    ['127.8.9.10', 200],
    ['[::1]:8000', 200],
    ['tower.example.com', 200],
    ['evil.example.com', 403],
    ['localhost.evil.example.com', 403],
    ['127.0.0.1.evil.example.com:8000', 403],
    ['192.168.1.20', 403],
    ['[::ffff:7f00:1]', 403],
  ])('answers requests to the host %s with %d', async (host, status) => {
    const { app, services } = await testTower({ ALLOWED_HOSTS: 'tower.example.com' });
    await services.registry.refresh();
    for (const url of ['/models?limit=1', '/healthz', '/nowhere']) {
      const { statusCode } = await app.inject({ url, headers: { host } });
      expect([url, statusCode]).toEqual([url, status === 200 && url === '/nowhere' ? 404 : status]);
    }
  });

  it('names the setting in the refusal', async () => {
    const { app } = await testTower();
    const { error } = (await app.inject({ url: '/models', headers: { host: 'evil.example.com' } })).json<{
      error: { type: string; message: string; details: object };
    }>();
    expect(error).toMatchObject({ type: 'forbidden', details: { parameter: 'host' } });
    expect(error.message).toContain('ALLOWED_HOSTS');
  });

  it('accepts any address if it listens on all, but no foreign name', async () => {
    const { app } = await testTower({ API_HOST: '0.0.0.0', ALLOW_UNAUTHENTICATED: 'true' });
    const status = async (host: string) => (await app.inject({ url: '/healthz', headers: { host } })).statusCode;
    expect([await status('10.1.2.3:8000'), await status('[fd00::1]'), await status('evil.example.com')]).toEqual([
      200, 200, 403,
    ]);
  });

  it.each([
    [{}, 201],
    [{ origin: 'http://localhost:8000', 'sec-fetch-site': 'same-origin' }, 201],
    [{ origin: 'http://localhost:8000' }, 201],
    [{ 'sec-fetch-site': 'none' }, 201],
    [{ origin: 'https://app.example.com', 'sec-fetch-site': 'cross-site' }, 201],
    [{ origin: 'https://evil.example.com' }, 403],
    [{ origin: 'http://localhost:9999', 'sec-fetch-site': 'same-site' }, 403],
    [{ 'sec-fetch-site': 'cross-site' }, 403],
    [{ origin: 'null' }, 403],
  ])('answers a change with the headers %j with %d', async (headers, status) => {
    const { app, services } = await testTower({ CORS_ORIGINS: 'https://app.example.com' });
    await services.registry.refresh();
    const sent = { ...monitor, headers: { host: 'localhost:8000', ...headers } };
    expect((await app.inject(sent)).statusCode).toBe(status);
  });

  it('accepts any content type from programs', async () => {
    const { app } = await testTower();
    const push = await app.inject({
      method: 'POST',
      url: '/prometheus/api/v1/import/prometheus',
      headers: { host: 'localhost:8000', 'content-type': 'application/x-www-form-urlencoded' },
      payload: 'queue 3\n',
    });
    expect(push.json()).toMatchObject({ recorded: 1 });
  });
});

describe('a server with authentication', () => {
  it('leaves the check of the client to its credentials', async () => {
    const { app, keyWith } = await lockedTower();
    const headers = { host: 'tower.example.com', 'x-api-key': await keyWith('read') };
    expect((await app.inject({ url: '/models?limit=1', headers })).statusCode).toBe(200);
  });
});
