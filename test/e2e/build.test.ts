import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { whenTestIsOver } from '../support/cleanup.ts';
import { freePort, start, untilAnswers } from '../support/processes.ts';
import { temporaryDirectory } from '../support/tower.ts';

const root = resolve(import.meta.dirname, '../..');
const bin = join(root, 'bin/tower.js');

describe('the build', () => {
  beforeAll(() => {
    const { status, stderr } = spawnSync(process.execPath, [join(root, 'build/prepare.js'), '--if-older']);
    expect(String(stderr)).toBe('');
    expect(status).toBe(0);
  }, 60_000);

  it('serves with its workers, WASM, migrations, documentation pages and lazily loaded parts', async () => {
    const directory = temporaryDirectory();
    const url = `http://127.0.0.1:${await freePort()}`;
    const server = start(process.execPath, [bin, 'serve', '--port', new URL(url).port], { cwd: directory });
    whenTestIsOver(() => server.stop('SIGKILL'));
    await untilAnswers(`${url}/readyz`, server, 20_000);
    const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string };
    const get = async (path: string) => {
      const response = await fetch(`${url}${path}`);
      return {
        status: response.status,
        encoding: response.headers.get('content-encoding'),
        text: await response.text(),
      };
    };
    const post = async (path: string, body: object) => {
      const headers = { 'content-type': 'application/json' };
      const response = await fetch(`${url}${path}`, { method: 'POST', headers, body: JSON.stringify(body) });
      return { status: response.status, body: (await response.json()) as Record<string, unknown> };
    };
    expect(JSON.parse((await get('/health')).text)).toMatchObject({
      version,
      data_source: 'sample',
      store_error: null,
    });
    const document = JSON.parse((await get('/openapi.json')).text) as { info: { version: string } };
    expect(document.info.version).toBe(version);
    for (const [page, file] of [
      ['/docs', '/docs/swagger-ui-bundle.js'],
      ['/redoc', '/docs/redoc.js'],
    ] as const) {
      expect((await get(page)).text).toContain(file);
      expect(await get(file)).toMatchObject({ status: 200, encoding: 'gzip' });
    }
    // A worker thread with LSTM kernels and MSTL, both WASM.
    const values = Array.from({ length: 200 }, (_, i) => 10 + (i % 8) + (i % 3));
    const forecast = await post('/api/v1/forecast', { values, seasonality: [8], horizon: 8 });
    expect([forecast.status, (forecast.body['forecast'] as object[]).length]).toEqual([200, 8]);
    expect(await post('/api/v1/analytics/metrics', { metric: 'a', resource: 'b', value: 1 })).toMatchObject({
      status: 201,
      body: { recorded: 1 },
    });
    expect(JSON.parse((await get('/prometheus/api/v1/query?query=a')).text)).toMatchObject({ status: 'success' });
    const backtest = { values, step_seconds: 3600, resource: 'cpu', horizon: '24h' };
    expect((await post('/api/v1/rightsizing/backtest', backtest)).status).toBeLessThan(500);
    const cli = spawnSync(process.execPath, [bin, '--url', url, 'models', 'list', '--limit', '1', '--json'], {
      cwd: directory,
      encoding: 'utf8',
    });
    expect(JSON.parse(cli.stdout)).toHaveLength(1);
    expect(spawnSync(process.execPath, [bin, 'train', 'config', 'default'], { encoding: 'utf8' }).stdout).toContain(
      'steady_state_config',
    );
  });

  it('lists the licence of every bundled package', () => {
    const notice = readFileSync(join(root, 'dist/NOTICE'), 'utf8');
    for (const name of ['fastify', 'zod', 'undici', 'pino', 'kysely', '@fastify/swagger-ui', 'redoc'])
      expect(notice).toMatch(new RegExp(`^${name} \\d+\\.\\d+\\.\\d+ \\((MIT|BSD-3-Clause|Apache-2\\.0)\\)$`, 'm'));
    expect(notice).not.toContain('(see below)');
    expect(existsSync(join(root, 'dist/assets/kernels-fma.wasm'))).toBe(true);
  });
});
