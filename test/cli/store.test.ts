import { closeSync, existsSync, mkdirSync, openSync, readFileSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { cliOver } from '../support/cli.ts';
import { temporaryFolder, testTower } from '../support/tower.ts';

/** An instance with rows in both databases and a model, and a CLI for its folder. */
async function filled() {
  const { towerWith, services, folder } = await cliOver();
  const data = join(folder, 'data');
  await services.access.keys.create({ name: 'kept', scopes: ['read'], expires_in_days: 1 }, 'dana');
  await services.analytics.record({ metric: 'cpu', resource: 'a', value: 7 });
  mkdirSync(join(data, 'models'), { recursive: true });
  writeFileSync(join(data, 'models', 'cart.json'), '{}');
  const onFolder = (directory: string, ...args: string[]) => towerWith({ DATA_DIRECTORY: directory }, ...args);
  return { onFolder, data, copy: join(temporaryFolder(), 'copy'), services };
}

/** Overwrites bytes in the middle of a file. */
function scratch(path: string): void {
  const file = openSync(path, 'r+');
  writeSync(file, Buffer.alloc(3000, 0xaa), 0, 3000, 4200);
  closeSync(file);
}

describe('tower store', () => {
  it('backs up while a server runs; a restore has the same content without the key', async () => {
    const { onFolder, data, copy } = await filled();
    expect((await onFolder(data, 'store', 'backup', copy)).out).toMatch(
      /^FILE +BYTES\ntower\.db +\d+\nmetrics\.db +\d+\nmodels\/cart\.json +2\n\n.*store tower\.key/,
    );
    expect(existsSync(join(copy, 'tower.key'))).toBe(false);
    const fresh = join(temporaryFolder(), 'data');
    expect((await onFolder(fresh, 'store', 'restore', copy)).out).toMatch(/^restored 3 files of \S+Z to /);
    expect(readFileSync(join(fresh, 'models', 'cart.json'), 'utf8')).toBe('{}');
    const { services } = await testTower({ DATA_DIRECTORY: fresh });
    expect((await services.analytics.points({})).points).toMatchObject([{ metric: 'cpu', value: 7 }]);
    expect(await services.access.keys.list()).toMatchObject([{ name: 'kept' }]);
  });

  it('never overwrites a store or a backup', async () => {
    const { onFolder, data, copy } = await filled();
    await onFolder(data, 'store', 'backup', copy);
    expect(await onFolder(data, 'store', 'backup', copy)).toMatchObject({
      code: 4,
      err: expect.stringContaining('is not empty: choose a new folder'),
    });
    expect(await onFolder(data, 'store', 'restore', copy)).toMatchObject({
      code: 4,
      err: expect.stringContaining('already exists: move the data folder away'),
    });
  });

  it('refuses to restore next to files of an old database', async () => {
    const { onFolder, data, copy } = await filled();
    await onFolder(data, 'store', 'backup', copy);
    const fresh = temporaryFolder();
    writeFileSync(join(fresh, 'tower.db-wal'), 'old');
    expect(await onFolder(fresh, 'store', 'restore', copy)).toMatchObject({
      code: 4,
      err: expect.stringMatching(/tower\.db-wal already exists/),
    });
  });

  it('detects damage, and refuses to restore from it', async () => {
    const { onFolder, data, copy } = await filled();
    expect((await onFolder(data, 'store', 'verify')).out).toMatch(
      /^FILE +BYTES +SCHEMA +WRONG\ntower\.db +\d+ +6 +nothing\nmetrics\.db +\d+ +1 +nothing$/,
    );
    await onFolder(data, 'store', 'backup', copy);
    scratch(join(copy, 'metrics.db'));
    const { code, out } = await onFolder(data, 'store', 'verify', copy);
    expect(code).toBe(1);
    expect(out).toMatch(/metrics\.db .*checksum differs/);
    const fresh = join(temporaryFolder(), 'data');
    expect(await onFolder(fresh, 'store', 'restore', copy)).toMatchObject({
      code: 2,
      err: expect.stringMatching(/metrics\.db: .*checksum differs/),
    });
    expect(existsSync(fresh)).toBe(false);
    expect(await onFolder(fresh, 'store', 'restore', data)).toMatchObject({
      code: 2,
      err: expect.stringContaining('is no backup'),
    });
    expect(await onFolder(fresh, 'store', 'backup', `${copy}2`)).toMatchObject({
      code: 3,
      err: expect.stringContaining('no store in'),
    });
  });

  it('migrates a folder', async () => {
    const { onFolder } = await filled();
    const fresh = join(temporaryFolder(), 'data');
    expect((await onFolder(fresh, 'store', 'migrate')).out).toBe(
      'FILE        SCHEMA\ntower.db         6\nmetrics.db       1',
    );
  });
});
