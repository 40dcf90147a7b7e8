import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { run } from '#cli/main.ts';
import { fakeMlflow } from '../fakes/mlflow.ts';
import { smallRegistry } from '../fakes/small-registry.ts';
import { secretOf } from '../support/locked-tower.ts';
import { noSignal } from '../support/sources.ts';
import { testTower } from '../support/tower.ts';

/** A unique text. */
const canary = (name: string) => `canary-${name}-${'0123456789'.repeat(4)}`;
const secrets = {
  MLFLOW_TRACKING_PASSWORD: canary('password'),
  MLFLOW_TRACKING_TOKEN: canary('token'),
  MLFLOW_WEBHOOK_SECRET: canary('webhook-secret'),
  TOWER_SECRET_KEY: canary('master'),
  JWT_HS256_SECRET: canary('jwt'),
};

describe('secrets', () => {
  it('appear in no answer, header, log line, metric, cache file, configuration or audit entry', async () => {
    const fake = await fakeMlflow(smallRegistry());
    const env = {
      ...secrets,
      MLFLOW_TRACKING_USERNAME: 'tower',
      MLFLOW_TRACKING_URI: fake.url,
      JWT_ISSUER: 'https://id.example.com',
      OUTBOUND_ALLOWED_HOSTS: '127.0.0.1',
      WEBHOOK_MAX_ATTEMPTS: '1',
      AUTH_ENABLED: 'true',
    };
    const tower = await testTower(env);
    const { app, services, outbox, directory } = tower;
    await services.registry.refresh();
    const cache = readdirSync(join(directory, 'cache')).map((file) =>
      readFileSync(join(directory, 'cache', file), 'utf8'),
    );
    const { key } = await services.access.keys.create({ name: 'all', scopes: ['admin'], expires_in_days: 1 }, 'test');
    const headers = { authorization: `Bearer ${key}` };
    const seen: string[] = [];
    const ask = async (method: 'GET' | 'POST' | 'DELETE', url: string, payload?: object) => {
      const response = await app.inject({ method, url, headers, ...(payload ? { payload } : {}) });
      seen.push(JSON.stringify(response.headers), response.body);
      return response;
    };

    // The only response that must contain it, once, is excluded from the search.
    const url = `http://127.0.0.1:9/${canary('path')}?q=${canary('query')}`;
    const made = await app.inject({ method: 'POST', url: '/api/v1/registry/webhooks', headers, payload: { url } });
    const { id, secret } = made.json<{ id: string; secret: string }>();
    await ask('POST', `/api/v1/registry/webhooks/${id}/test`);
    await outbox.step(noSignal);

    const { paths } = (await app.inject('/openapi.json')).json<{ paths: Record<string, Record<string, object>> }>();
    const wrong = { url: canary('bad-url'), name: 1, key: canary('bad-key') };
    const everything = async () => {
      for (const [path, methods] of Object.entries(paths)) {
        if (path === '/models/stream') continue;
        for (const method of Object.keys(methods)) {
          const at = path.replace('{webhook_id}', id).replaceAll(/\{\w+\}/g, 'x');
          if (method === 'delete' && path.includes('webhook')) continue;
          await ask(method.toUpperCase() as 'GET', at, method === 'post' ? wrong : undefined);
        }
      }
    };
    await everything();
    fake.instead['/search'] = { status: 500, body: JSON.stringify({ error_code: 'INTERNAL_ERROR', message: 'no' }) };
    await ask('POST', '/cache/refresh');
    await fake.close();
    await ask('POST', '/cache/refresh');
    await everything();
    for (const credentials of [
      `Bearer ${canary('wrong-token')}`,
      `Basic ${canary('basic')}`,
      `Bearer tower_${canary('wrong-key')}`,
    ])
      seen.push((await app.inject({ url: '/models', headers: { authorization: credentials } })).body);

    const printed: string[] = [];
    await run(['serve', '--config'], {
      serve: async () => undefined,
      env,
      out: (text) => printed.push(text),
      err: (text) => printed.push(text),
    });
    await run(['serve'], {
      serve: async () => undefined,
      env: { ...env, JWT_HS256_SECRET: 'canary-short' },
      out: (text) => printed.push(text),
      err: (text) => printed.push(text),
    });
    process.exitCode = 0;

    let audit = '';
    for await (const line of services.access.audit.export()) audit += line;
    const channels: Record<string, string> = {
      answers: seen.join('\n'),
      log: tower.logText(),
      printed: printed.join('\n'),
      cache: cache.join('\n'),
      audit,
    };
    expect(seen.length).toBeGreaterThan(100);
    for (const [name, text] of Object.entries(channels)) {
      expect(text.length, `${name} has something to search`).toBeGreaterThan(100);
      // Responses may quote a client's own input, and nothing else.
      const found = [...text.matchAll(/canary-[a-z-]+/g)].map(([word]) => word);
      expect(name === 'answers' ? found.filter((word) => !word.startsWith('canary-bad')) : found, name).toEqual([]);
      for (const hidden of [secret, secret.slice(6), key, secretOf(key)]) expect(text, name).not.toContain(hidden);
      expect(text, name).not.toContain(Buffer.from(`tower:${secrets.MLFLOW_TRACKING_PASSWORD}`).toString('base64'));
    }
    const stored = readFileSync(join(directory, 'data', 'tower.db'), 'latin1');
    for (const hidden of [...Object.values(secrets), secret, secretOf(key)]) expect(stored).not.toContain(hidden);
  });
});
