import { once } from 'node:events';
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { DatabaseSync } from 'node:sqlite';
import { describe, expect, it } from 'vitest';
import { lockDirectory } from '#store/directory-lock.ts';
import { openStore } from '#store/open-store.ts';
import { whenTestIsOver } from '../support/cleanup.ts';
import { start } from '../support/processes.ts';
import { onPostgres } from '../support/stores.ts';
import { temporaryDirectory } from '../support/tower.ts';

const row = {
  registry: 'default',
  name: 'DNA',
  version: '1',
  model_type: 'classifier',
  registered_by: 'dana',
  registered_at: '2026-01-01T00:00:00.000Z',
  run_id: null,
} as const;

describe('the store', () => {
  it('keeps data across restarts', async () => {
    const directory = temporaryDirectory();
    const store = await openStore({ directory });
    await (await store.db()).insertInto('monitored_models').values(row).execute();
    await store.close();
    const again = await openStore({ directory });
    expect(await (await again.db()).selectFrom('monitored_models').selectAll().execute()).toEqual([row]);
    await again.close();
  });

  it('is migrated once by concurrent processes', async () => {
    const directory = temporaryDirectory();
    const script = `import { openStore } from ${JSON.stringify(new URL('../../src/store/open-store.ts', import.meta.url).href)};
      await (await openStore({ directory: ${JSON.stringify(directory)} })).close();`;
    const processes = Array.from({ length: 4 }, () => start(process.execPath, ['--input-type=module', '-e', script]));
    const codes = await Promise.all(processes.map(async (one) => (await once(one.child, 'exit'))[0] as number));
    expect(codes, processes.map((one) => one.output()).join('')).toEqual([0, 0, 0, 0]);
    const store = await openStore({ directory });
    expect(await (await store.db()).selectFrom('monitored_models').selectAll().execute()).toEqual([]);
    await store.close();
  });

  it('syncs every commit to disk', async () => {
    const directory = temporaryDirectory();
    const store = await openStore({ directory });
    const file = new DatabaseSync(join(directory, 'tower.db'));
    expect(file.prepare('pragma journal_mode').get()).toEqual({ journal_mode: 'wal' });
    expect(file.prepare('pragma integrity_check').get()).toEqual({ integrity_check: 'ok' });
    file.close();
    await store.close();
  });

  it('rolls back a failed transaction', async () => {
    const store = await openStore({ directory: temporaryDirectory() });
    const failing = (await store.db()).transaction().execute(async (trx) => {
      await trx.insertInto('monitored_models').values(row).execute();
      await trx.insertInto('monitored_models').values(row).execute();
    });
    await expect(failing).rejects.toThrow(/UNIQUE/);
    expect(await (await store.db()).selectFrom('monitored_models').selectAll().execute()).toEqual([]);
    await store.close();
  });

  it('refuses a newer schema and says what to do', async () => {
    const directory = temporaryDirectory();
    const file = new DatabaseSync(join(directory, 'tower.db'));
    file.exec('pragma user_version = 99');
    file.close();
    await expect(openStore({ directory })).rejects.toThrow(
      /schema 99, written by a newer version; this version supports up to \d/,
    );
  });

  it('reports a damaged file, or a directory that is a file', async () => {
    const directory = temporaryDirectory();
    writeFileSync(join(directory, 'tower.db'), 'this is not a database, and it is longer than a header would be');
    await expect(openStore({ directory })).rejects.toThrow(/^cannot open .*tower\.db: file is not a database/);
    await expect(openStore({ directory: join(directory, 'tower.db') })).rejects.toThrow(
      /DATA_DIRECTORY must be a directory this user can write to/,
    );
  });

  it.skipIf(process.getuid?.() === 0)('reports a directory that is not writable', async () => {
    const directory = join(temporaryDirectory(), 'locked');
    mkdirSync(directory);
    chmodSync(directory, 0o500);
    await expect(openStore({ directory })).rejects.toThrow(/DATA_DIRECTORY must be a directory this user can write to/);
  });
});

describe.skipIf(onPostgres)('a lock of another process', () => {
  it('delays writes without blocking the event loop, and no reads', async () => {
    const directory = temporaryDirectory();
    const store = await openStore({ directory });
    whenTestIsOver(() => store.close());
    const db = await store.db();
    const insert = (name: string) =>
      db
        .insertInto('monitored_models')
        .values({ ...row, name })
        .execute();
    await insert('a');
    const other = new DatabaseSync(join(directory, 'tower.db'));
    other.exec('begin immediate');
    const delay = monitorEventLoopDelay({ resolution: 5 });
    delay.enable();
    const writes = Promise.all([
      insert('b'),
      db.transaction().execute((trx) =>
        trx
          .insertInto('monitored_models')
          .values({ ...row, name: 'c' })
          .execute(),
      ),
    ]);
    const names = async () =>
      (await db.selectFrom('monitored_models').select('name').orderBy('name').execute()).map(({ name }) => name);
    const until = performance.now() + 300;
    while (performance.now() < until) {
      expect(await names()).toEqual(['a']);
      await new Promise((next) => setImmediate(next));
    }
    delay.disable();
    expect(delay.max / 1e6).toBeLessThan(150);
    other.exec('commit');
    other.close();
    await writes;
    expect(await names()).toEqual(['a', 'b', 'c']);
  });

  it('fails writes after 5 s, each by itself', { timeout: 15_000 }, async () => {
    const directory = temporaryDirectory();
    const store = await openStore({ directory });
    whenTestIsOver(() => store.close());
    const db = await store.db();
    const other = new DatabaseSync(join(directory, 'tower.db'));
    other.exec('begin exclusive');
    const write = () => db.deleteFrom('monitored_models').execute();
    const before = performance.now();
    const results = await Promise.allSettled([write(), write(), write()]);
    expect(performance.now() - before).toBeLessThan(8_000);
    for (const result of results)
      expect(result).toMatchObject({ status: 'rejected', reason: { code: 'unavailable', retryAfterSeconds: 5 } });
    other.exec('rollback');
    other.close();
    await write();
  });
});

describe.skipIf(onPostgres)('the lock of a data directory', () => {
  it('is held by one server, and released at its end', () => {
    const directory = temporaryDirectory();
    const first = lockDirectory(directory);
    expect(() => lockDirectory(directory)).toThrow(/another server uses .* \(DATA_DIRECTORY\)/);
    first.release();
    lockDirectory(directory).release();
  });
});
