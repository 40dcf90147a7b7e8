import { once } from 'node:events';
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { fakeMlflow } from '../fakes/mlflow.ts';
import { smallRegistry } from '../fakes/small-registry.ts';
import { temporaryDirectory } from '../support/tower.ts';
import { servingTower, towerCommand } from '../support/tower-process.ts';

const finished = async (args: string[], env: Record<string, string> = {}) => {
  const command = towerCommand(args, { cwd: temporaryDirectory(), env });
  const [code] = (await once(command.child, 'exit')) as [number];
  return { code, output: command.output() };
};

describe('tower serve', () => {
  it('serves and labels the sample registry without settings, and stops cleanly on SIGTERM', async () => {
    const tower = await servingTower(temporaryDirectory());
    const models = await fetch(`${tower.url}/models`);
    expect(models.headers.get('x-data-source')).toBe('sample');
    expect(await models.json()).not.toEqual([]);
    expect(await (await fetch(`${tower.url}/health`)).json()).toMatchObject({
      status: 'healthy',
      data_source: 'sample',
      mlflow_connection: 'not_configured',
    });
    expect(await tower.stop()).toBe(0);
    expect(tower.output()).toContain('SAMPLE DATA');
    expect(tower.output()).toContain('stopped');
  });

  it('finishes open requests before it stops', async () => {
    const fake = await fakeMlflow(smallRegistry());
    let release = () => {};
    const tower = await servingTower(temporaryDirectory(), { MLFLOW_TRACKING_URI: fake.url });
    fake.hold = new Promise<void>((resolve) => {
      release = resolve;
    });
    const calls = fake.calls.length;
    const open = fetch(`${tower.url}/runs/1`);
    while (fake.calls.length === calls) await new Promise((resolve) => setImmediate(resolve));
    const stopped = tower.stop();
    while (!tower.output().includes('finishing open requests')) await new Promise((resolve) => setImmediate(resolve));
    release();
    expect((await open).status).toBe(200);
    expect(await stopped).toBe(0);
  });

  it('stops at once and cleanly while MLflow hangs', async () => {
    const fake = await fakeMlflow(smallRegistry());
    fake.hold = new Promise(() => {});
    const tower = towerCommand(['serve', '--port', '0'], {
      cwd: temporaryDirectory(),
      env: { MLFLOW_TRACKING_URI: fake.url },
    });
    while (fake.calls.length === 0) await new Promise((resolve) => setImmediate(resolve));
    const since = performance.now();
    expect(await tower.stop()).toBe(0);
    expect(performance.now() - since).toBeLessThan(5_000);
  });

  it('mirrors a server, caches the mirror in a file, and serves from it without MLflow', async () => {
    const fake = await fakeMlflow(smallRegistry());
    const directory = temporaryDirectory();
    const env = { MLFLOW_TRACKING_URI: fake.url, MLFLOW_MAX_RETRIES: '0' };
    const first = await servingTower(directory, env);
    expect(await (await fetch(`${first.url}/models/all`)).json()).toHaveLength(5);
    await first.stop();
    await fake.close();
    const second = await servingTower(directory, env);
    expect(await (await fetch(`${second.url}/models/all`)).json()).toHaveLength(5);
    await second.stop();
  });

  it('refuses to start with an invalid setting', async () => {
    const { code, output } = await finished(['serve'], { API_PORT: 'eight', ENABLE_CACHE: 'perhaps' });
    expect(code).toBe(2);
    expect(output).toContain('API_PORT must be an integer between 0 and 65535 (got "eight")');
    expect(output).toContain('ENABLE_CACHE must be true or false (got "perhaps")');
    expect(output).not.toContain('    at ');
  });

  it('reports a port in use and an unreadable address in one line', async () => {
    const tower = await servingTower(temporaryDirectory());
    const busy = await finished(['serve', '--port', new URL(tower.url).port]);
    expect(busy.code).toBe(4);
    expect(busy.output).toMatch(/port \d+ on 127\.0\.0\.1 is in use; set another one with --port or API_PORT/);
    const unreadable = await finished(['serve'], { MLFLOW_TRACKING_URI: 'postgresql://u:secret@h/db' });
    expect(unreadable.code).toBe(2);
    expect(unreadable.output).toContain('postgresql: addresses are not supported');
    expect(unreadable.output).not.toContain('secret');
  });

  it('refuses a second server of a data directory, also after the first one was killed and restarted', async () => {
    const directory = temporaryDirectory();
    const first = await servingTower(directory);
    const env = { DATA_DIRECTORY: join(directory, 'data') };
    const second = await finished(['serve', '--port', '0'], env);
    expect(second).toMatchObject({ code: 4, output: expect.stringContaining('another server uses') as unknown });
    await first.stop('SIGKILL');
    const third = await servingTower(directory);
    expect((await finished(['serve', '--port', '0'], env)).code).toBe(4);
    expect((await fetch(`${third.url}/healthz`)).status).toBe(200);
  });

  it('prints the effective settings without secrets and without starting with --config', async () => {
    const { code, output } = await finished(['serve', '--config', '--port', '9123'], {
      MLFLOW_TRACKING_TOKEN: 't0ken',
      MLFLOW_TRACKING_URI: 'http://u:pw@h',
    });
    expect(code).toBe(0);
    expect(JSON.parse(output)).toMatchObject({ API_PORT: 9123, MLFLOW_TRACKING_URI: 'http://h' });
    expect(output).not.toMatch(/t0ken|pw/);
  });

  it('reads .env, with precedence for the environment', async () => {
    const directory = temporaryDirectory();
    writeFileSync(join(directory, '.env'), 'API_PORT=9001\nLOG_LEVEL=ERROR\n');
    const command = towerCommand(['serve', '--config'], { cwd: directory, env: { LOG_LEVEL: 'DEBUG' } });
    await once(command.child, 'exit');
    expect(JSON.parse(command.output())).toMatchObject({ API_PORT: 9001, LOG_LEVEL: 'DEBUG' });
    expect(existsSync(join(directory, 'data'))).toBe(false);
  });

  it('refuses to listen on other addresses without authentication unless confirmed', async () => {
    const refused = await finished(['serve', '--host', '0.0.0.0', '--port', '0']);
    expect(refused).toMatchObject({ code: 2 });
    expect(refused.output).toMatch(
      /^tower: API_HOST 0\.0\.0\.0 accepts .*AUTH_ENABLED=true .*ALLOW_UNAUTHENTICATED=true/,
    );
    for (const env of [{ AUTH_ENABLED: 'true' }, { ALLOW_UNAUTHENTICATED: 'true' }]) {
      const open = await servingTower(temporaryDirectory(), { API_HOST: '0.0.0.0', ...env });
      expect(open.output().includes('authentication is off')).toBe(!('AUTH_ENABLED' in env));
      await open.stop();
    }
  });
});
