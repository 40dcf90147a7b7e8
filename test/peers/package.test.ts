import { execFileSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { describe, expect, it } from 'vitest';
import { whenTestIsOver } from '../support/cleanup.ts';
import { freePort, start, untilAnswers } from '../support/processes.ts';
import { temporaryDirectory } from '../support/tower.ts';

const root = resolve(import.meta.dirname, '../..');

/** The path of a Node of this major version, from the registry. */
const nodeOf = (major: number): string =>
  execFileSync('npx', ['-y', '-p', `node@${major}`, '-c', 'which node'], {
    cwd: temporaryDirectory(),
    encoding: 'utf8',
  })
    .trim()
    .split('\n')
    .at(-1)!;

describe('the package', () => {
  it('installs globally from npm pack, has no tests in it, and serves on Node 22 and 24', async () => {
    const [packed, prefix] = [temporaryDirectory(), temporaryDirectory()];
    execFileSync('npm', ['pack', '--silent', '--pack-destination', packed], { cwd: root, stdio: 'pipe' });
    const [archive = ''] = readdirSync(packed);
    const list = execFileSync('tar', ['tzf', join(packed, archive)], { encoding: 'utf8' });
    expect(list).toContain('package/npm-shrinkwrap.json');
    expect(list).not.toMatch(/\/(test|bench|src|services)\//);
    const args = ['install', '--global', '--prefix', prefix, '--no-audit', '--no-fund', join(packed, archive)];
    execFileSync('npm', args, { cwd: packed, stdio: 'pipe', env: { ...process.env, NODE_ENV: 'production' } });
    for (const major of [22, 24]) {
      const url = `http://127.0.0.1:${await freePort()}`;
      const server = start(nodeOf(major), [join(prefix, 'bin/tower'), 'serve', '--port', new URL(url).port], {
        cwd: temporaryDirectory(),
      });
      whenTestIsOver(() => server.stop('SIGKILL'));
      await untilAnswers(`${url}/readyz`, server, 30_000);
      const values = Array.from({ length: 64 }, (_, i) => i % 8);
      const forecast = await fetch(`${url}/api/v1/forecast`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ values, seasonality: [8], horizon: 4 }),
      });
      expect([major, forecast.status]).toEqual([major, 200]);
      expect((await fetch(`${url}/openapi.json`)).status).toBe(200);
      await server.stop();
    }
  });
});
