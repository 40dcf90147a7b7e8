import {
  closeSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { answerOf } from '../support/analytics.ts';
import { cliOver } from '../support/cli.ts';
import { temporaryDirectory, testTower } from '../support/tower.ts';

/** An instance with rows in both databases and a model, and a CLI for its directory. */
async function filled() {
  const { towerWith, services, directory } = await cliOver();
  const data = join(directory, 'data');
  await services.access.keys.create({ name: 'kept', scopes: ['read'], expires_in_days: 1 }, 'dana');
  await services.analytics.record({ metric: 'cpu', resource: 'a', value: 7 });
  mkdirSync(join(data, 'models'), { recursive: true });
  writeFileSync(join(data, 'models', 'cart.json'), '{}');
  const onDirectory = (directory: string, ...args: string[]) => towerWith({ DATA_DIRECTORY: directory }, ...args);
  return { onDirectory, data, copy: join(temporaryDirectory(), 'copy'), services };
}

/** Overwrites bytes in the middle of a file. */
function scratch(path: string): void {
  const file = openSync(path, 'r+');
  writeSync(file, Buffer.alloc(3000, 0xaa), 0, 3000, 4200);
  closeSync(file);
}

describe('tower store', () => {
  it('backs up while a server runs; a restore has the same content, with the key', async () => {
    const { onDirectory, data, copy } = await filled();
    expect((await onDirectory(data, 'store', 'backup', copy)).out).toMatch(
      /^FILE +BYTES\ntower\.db +\d+\nmetrics\.db +\d+\nmodels\/cart\.json +2\n\n.*store tower\.key/,
    );
    for (const name of ['tower.db', 'metrics.db', 'models/cart.json', 'backup.json'])
      expect((statSync(join(copy, name)).mode & 0o777).toString(8)).toBe('600');
    expect(existsSync(join(copy, 'tower.key'))).toBe(false);
    const fresh = join(temporaryDirectory(), 'data');
    expect((await onDirectory(fresh, 'store', 'restore', copy)).out).toMatch(/^restored 3 files of \S+Z to /);
    expect(readFileSync(join(fresh, 'models', 'cart.json'), 'utf8')).toBe('{}');
    await expect(testTower({ DATA_DIRECTORY: fresh })).rejects.toMatchObject({ code: 'conflict' });
    copyFileSync(join(data, 'tower.key'), join(fresh, 'tower.key'));
    const { services } = await testTower({ DATA_DIRECTORY: fresh });
    expect((await answerOf(services.analytics.query('points', [{}]))).points).toMatchObject([
      { metric: 'cpu', value: 7 },
    ]);
    expect(await services.access.keys.list()).toMatchObject([{ name: 'kept' }]);
  });

  it('never overwrites a store or a backup', async () => {
    const { onDirectory, data, copy } = await filled();
    await onDirectory(data, 'store', 'backup', copy);
    expect(await onDirectory(data, 'store', 'backup', copy)).toMatchObject({
      code: 4,
      err: expect.stringContaining('is not empty: choose a new directory'),
    });
    expect(await onDirectory(data, 'store', 'restore', copy)).toMatchObject({
      code: 4,
      err: expect.stringContaining('already exists: move the data directory away'),
    });
  });

  it('refuses to restore next to files of an old database', async () => {
    const { onDirectory, data, copy } = await filled();
    await onDirectory(data, 'store', 'backup', copy);
    const fresh = temporaryDirectory();
    writeFileSync(join(fresh, 'tower.db-wal'), 'old');
    expect(await onDirectory(fresh, 'store', 'restore', copy)).toMatchObject({
      code: 4,
      err: expect.stringMatching(/tower\.db-wal already exists/),
    });
  });

  it('detects damage, and refuses to restore from it', async () => {
    const { onDirectory, data, copy } = await filled();
    expect((await onDirectory(data, 'store', 'verify')).out).toMatch(
      /^FILE +BYTES +SCHEMA +RESULT\ntower\.db +\d+ +6 +ok\nmetrics\.db +\d+ +1 +ok$/,
    );
    await onDirectory(data, 'store', 'backup', copy);
    scratch(join(copy, 'metrics.db'));
    const { code, out } = await onDirectory(data, 'store', 'verify', copy);
    expect(code).toBe(1);
    expect(out).toMatch(/metrics\.db .*checksum differs/);
    const fresh = join(temporaryDirectory(), 'data');
    expect(await onDirectory(fresh, 'store', 'restore', copy)).toMatchObject({
      code: 2,
      err: expect.stringMatching(/metrics\.db: .*checksum differs/),
    });
    expect(existsSync(fresh)).toBe(false);
    expect(await onDirectory(fresh, 'store', 'restore', data)).toMatchObject({
      code: 2,
      err: expect.stringContaining('is not a backup'),
    });
    expect(await onDirectory(fresh, 'store', 'backup', `${copy}2`)).toMatchObject({
      code: 3,
      err: expect.stringContaining('no store in'),
    });
  });

  it('migrates a directory', async () => {
    const { onDirectory } = await filled();
    const fresh = join(temporaryDirectory(), 'data');
    expect((await onDirectory(fresh, 'store', 'migrate')).out).toBe(
      'FILE        SCHEMA\ntower.db         6\nmetrics.db       1',
    );
  });
});
