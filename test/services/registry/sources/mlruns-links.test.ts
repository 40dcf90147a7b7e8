import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, renameSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { noSignal, snapshotOf, sourceFor } from '../../../support/sources.ts';
import { temporaryDirectory, testTower } from '../../../support/tower.ts';

/** A store with one experiment and one model of one version, and a secret beside it. */
function storeWithModel() {
  const directory = temporaryDirectory();
  const root = join(directory, 'mlruns');
  const secret = join(directory, 'tower.key');
  writeFileSync(secret, 'the-secret-key');
  const write = (path: string, text: string) => {
    mkdirSync(join(root, path, '..'), { recursive: true });
    writeFileSync(join(root, path), text);
  };
  write('0/meta.yaml', 'experiment_id: "0"\nname: Default\nartifact_location: x\nlifecycle_stage: active\n');
  write('models/churn/meta.yaml', 'name: churn\ncreation_timestamp: 1000\nlast_updated_timestamp: 1000\n');
  write('models/churn/tags/team', 'risk');
  write('models/churn/version-1/meta.yaml', "name: churn\nversion: '1'\ncreation_timestamp: 1000\nstatus: READY\n");
  const outside = (name: string): string => {
    const path = join(directory, name);
    mkdirSync(path);
    return path;
  };
  return { directory, root, secret, outside };
}

const failureOf = async (root: string): Promise<string> =>
  sourceFor(root)
    .readRegistry(null, noSignal)
    .then(
      () => '',
      (error: Error & { code: string }) => `${error.code}: ${error.message}`,
    );

describe('an mlruns store with symbolic links', () => {
  it('has what links within the store lead to, as in MLflow', async () => {
    const { root } = storeWithModel();
    mkdirSync(join(root, '.moved'));
    renameSync(join(root, 'models/churn'), join(root, '.moved/churn'));
    symlinkSync(join(root, '.moved/churn'), join(root, 'models/churn'));
    const { versions, models } = await snapshotOf(sourceFor(root));
    expect([versions.map(({ name }) => name), models.get('churn')?.tags]).toEqual([['churn'], { team: 'risk' }]);
  });

  it.each([
    ['models/churn/tags/leak', 'a tag'],
    ['models/churn/version-1/tags/leak', 'a tag of a version'],
    ['models/churn/aliases/leak', 'an alias'],
    ['0/tags/leak', 'a tag of an experiment'],
  ])('is an error if %s leads to a file outside', async (path) => {
    const { root, secret } = storeWithModel();
    mkdirSync(join(root, path, '..'), { recursive: true });
    symlinkSync(secret, join(root, path));
    const failure = await failureOf(root);
    expect(failure).toContain(`unavailable: ${path} in the store`);
    expect(failure).not.toContain('the-secret-key');
  });

  it.each(['/proc/self/environ', '/dev/zero', '/etc/hostname'])('is an error if a tag leads to %s', async (target) => {
    const { root } = storeWithModel();
    symlinkSync(target, join(root, 'models/churn/tags/leak'));
    expect(await failureOf(root)).toMatch(
      /^unavailable: models\/churn\/tags\/leak in the store .* link out of the store/,
    );
  });

  it('is an error if a directory leads out of the store, unless a setting allows it', async () => {
    const { root, outside } = storeWithModel();
    const elsewhere = outside('elsewhere');
    renameSync(join(root, 'models/churn'), join(elsewhere, 'churn'));
    symlinkSync(join(elsewhere, 'churn'), join(root, 'models/churn'));
    expect(await failureOf(root)).toMatch(/MLFLOW_FILE_ROOTS$/);
    const { versions } = await snapshotOf(sourceFor(root, { linkRoots: [elsewhere] }));
    expect(versions.map(({ name }) => name)).toEqual(['churn']);
    // Another directory whose name begins alike is not meant.
    expect(await failureOf(root)).not.toBe('');
    await expect(sourceFor(root, { linkRoots: [elsewhere.slice(0, -1)] }).readRegistry(null, noSignal)).rejects.toThrow(
      'MLFLOW_FILE_ROOTS',
    );
  });

  it('ignores dangling links, as MLflow does', async () => {
    const { root } = storeWithModel();
    symlinkSync(join(root, 'nowhere'), join(root, 'models/gone'));
    symlinkSync(join(root, 'nowhere'), join(root, 'models/churn/tags/gone'));
    expect((await snapshotOf(sourceFor(root))).models.get('churn')?.tags).toEqual({ team: 'risk' });
  });
});

describe('an mlruns store with other files', () => {
  it.each(['models/churn/tags/pipe', 'models/churn/meta.yaml'])('does not wait for the FIFO %s', async (path) => {
    const { root } = storeWithModel();
    execFileSync('rm', ['-f', join(root, path)]);
    execFileSync('mkfifo', [join(root, path)]);
    expect(await failureOf(root)).toContain(`${path} in the store ${root} is not a regular file`);
  });

  it('is an error if directories are nested endlessly', async () => {
    const { root } = storeWithModel();
    mkdirSync(join(root, 'models/churn/tags', ...Array.from({ length: 40 }, () => 'd')), { recursive: true });
    expect(await failureOf(root)).toMatch(/nested more than 32 levels deep$/);
  });

  it.each([
    ['itself', 'models/churn/tags/self', 'models/churn/tags/self'],
    ['its parent', 'models/churn/tags', 'models/churn/tags/self'],
    ['a parent of its parent', 'models', 'models/churn/tags/up'],
    ['the store', '.', 'models/churn/version-1/tags/root'],
    ['an experiment, within it', '0', '0/again'],
  ])('does not follow a link to %s', async (_, target, link) => {
    const { root } = storeWithModel();
    mkdirSync(join(root, link, '..'), { recursive: true });
    symlinkSync(join(root, target), join(root, link));
    const { models, versions } = await snapshotOf(sourceFor(root));
    expect(models.get('churn')?.tags).toEqual({ team: 'risk' });
    expect(versions[0]?.tags).toEqual({});
    expect(await sourceFor(root).readRuns('0', 10, noSignal)).toEqual([]);
  });

  it.skipIf(process.getuid?.() === 0)('is an error if a file may not be read', async () => {
    const { root } = storeWithModel();
    chmodSync(join(root, 'models/churn/tags/team'), 0o000);
    expect(await failureOf(root)).toContain('models/churn/tags/team');
  });

  it('keeps the last good state, stale, with the file in the health report', async () => {
    const { root, secret } = storeWithModel();
    const { app, services } = await testTower({ MLFLOW_TRACKING_URI: root });
    await services.registry.refresh();
    symlinkSync(secret, join(root, 'models/churn/tags/leak'));
    await services.registry.refresh().catch(() => undefined);
    const models = await app.inject('/models/all');
    expect([models.json(), models.headers['x-cache-stale']]).toMatchObject([[{ name: 'churn' }], 'true']);
    const health = await app.inject('/health');
    expect(health.json()).toMatchObject({ status: 'degraded' });
    expect(health.body).toContain('models/churn/tags/leak');
    expect(health.body + models.body).not.toContain('the-secret-key');
  });
});
