import { existsSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readConfig } from '#config/config.ts';
import { chainWith } from '#services/access/audit-chain.ts';
import { signAnew } from '#services/access/rotate-key.ts';
import { openMasterKey, prepareKey } from '#store/master-key.ts';
import { openStoreAndKey } from '../../src/frame.ts';
import { migrateStore, openAccess, placeOf, rotateKey, storeCopies } from '../../src/offline.ts';
import { onPostgres } from '../support/stores.ts';
import { temporaryDirectory, testTower } from '../support/tower.ts';

const entryOf = (details: object) => ({
  actor: 'test',
  via: 'local',
  address: 'local',
  action: 'rotate the secret key',
  target: {},
  details,
  requestId: '-',
});

const onKey = () => {
  throw new Error('the key is in a file');
};

/** An instance with an audit log of two rows, and how to open its store again. */
async function audited() {
  const directory = temporaryDirectory();
  const env = { DATA_DIRECTORY: directory };
  const tower = await testTower(env);
  await tower.services.registry.refresh();
  const payload = { model_type: 'classifier', registered_by: 'dana' };
  await tower.app.inject({ method: 'POST', url: '/models/churn-predictor/4/monitor', payload });
  await tower.stop();
  const { config, secrets } = readConfig(env);
  const open = async () => {
    const opened = await openStoreAndKey(config, secrets);
    await opened.store.close();
    return opened.deriveKey;
  };
  const verify = async () => {
    const { services, stop } = await testTower(env);
    const verdict = await services.access.audit.verify();
    await stop();
    return verdict;
  };
  return { directory, key: join(directory, 'tower.key'), config, secrets, open, verify };
}

describe.skipIf(onPostgres)('the secret key of a store', () => {
  it.each([
    ['lost', (key: string) => rmSync(key), 'conflict'],
    ['replaced', (key: string) => writeFileSync(key, `${'z'.repeat(43)}\n`), 'conflict'],
    ['emptied', (key: string) => writeFileSync(key, ''), 'unavailable'],
  ])('is required: a %s one is refused, and nothing is made up', async (_, damage, code) => {
    const { key, open } = await audited();
    const before = readFileSync(key, 'utf8');
    damage(key);
    const after = existsSync(key) ? readFileSync(key, 'utf8') : null;
    await expect(open()).rejects.toMatchObject({ code });
    expect(existsSync(key) ? readFileSync(key, 'utf8') : null).toBe(after);
    writeFileSync(key, before);
    await open();
  });

  it('can be restored with the store', async () => {
    const { key, open } = await audited();
    renameSync(key, `${key}.moved`);
    await expect(open()).rejects.toMatchObject({ code: 'conflict' });
    renameSync(`${key}.moved`, key);
    await open();
  });

  it('can be rotated: the audit log verifies with the new key only', async () => {
    const { key, config, secrets, verify } = await audited();
    const before = readFileSync(key, 'utf8');
    expect(await rotateKey(config, secrets, { isLost: false, entryOf, onKey })).toMatchObject({ rows: 2 });
    expect(readFileSync(key, 'utf8')).not.toBe(before);
    expect(existsSync(`${key}.new`)).toBe(false);
    expect(await verify()).toEqual({ rows: 3, problem: null });
    writeFileSync(key, before);
    await expect(verify()).rejects.toMatchObject({ code: 'conflict' });
  });

  it('is not rotated over a changed audit log, unless it is lost', async () => {
    const { directory, key, config, secrets, verify } = await audited();
    const { store } = await openStoreAndKey(config, secrets);
    await (await store.db()).updateTable('audit').set({ actor: 'someone' }).where('seq', '=', 1).execute();
    await store.close();
    const rotated = (isLost: boolean) => rotateKey(config, secrets, { isLost, entryOf, onKey });
    await expect(rotated(false)).rejects.toMatchObject({ code: 'conflict' });
    expect(await verify()).toMatchObject({ rows: 0 });
    rmSync(key);
    expect(await rotated(true)).toMatchObject({ rows: 2 });
    expect(await verify()).toEqual({ rows: 3, problem: null });
    expect(existsSync(join(directory, 'tower.key'))).toBe(true);
  });

  it('is shown before it is in force, if it is not in a file', async () => {
    const { directory, key, config, secrets } = await audited();
    const env = { ...secrets, masterKey: readFileSync(key, 'utf8').trim() };
    rmSync(key);
    const shown: string[] = [];
    await rotateKey(config, env, { isLost: false, entryOf, onKey: (text) => shown.push(text) });
    expect(existsSync(key) || existsSync(`${key}.new`)).toBe(false);
    const { store } = await openStoreAndKey(config, { ...env, masterKey: shown[0] });
    await store.close();
    await expect(openStoreAndKey(config, env)).rejects.toMatchObject({ code: 'conflict' });
    const empty = { ...config, DATA_DIRECTORY: join(directory, 'nothing') };
    await expect(rotateKey(empty, env, { isLost: true, entryOf, onKey })).rejects.toMatchObject({ code: 'not_found' });
    expect(existsSync(empty.DATA_DIRECTORY)).toBe(false);
  });

  it('survives a crash of its rotation, before and after the commit', async () => {
    const { directory, key, config, secrets, open, verify } = await audited();
    const before = readFileSync(key, 'utf8');
    prepareKey(directory);
    await open();
    expect(readFileSync(key, 'utf8')).toBe(before);
    const { deriveKey } = prepareKey(directory);
    const { store } = await openStoreAndKey(config, { ...secrets, masterKey: before.trim() });
    await signAnew(store, openMasterKey('', before.trim()), deriveKey);
    await store.close();
    expect(chainWith(await open()).start.seal).toBe(chainWith(deriveKey).start.seal);
    expect(await verify()).toEqual({ rows: 2, problem: null });
  });

  it('is not used by a process that opened the store before a rotation', async () => {
    const { config, secrets, verify } = await audited();
    const { store, access } = await openAccess(config, secrets);
    await rotateKey(config, secrets, { isLost: false, entryOf, onKey });
    const entry = { ...entryOf({}), phase: 'requested' as const, status: null };
    await expect(access.audit.record(entry)).rejects.toMatchObject({ code: 'conflict' });
    await store.close();
    expect(await verify()).toEqual({ rows: 3, problem: null });
  });
});

describe.skipIf(onPostgres)('a lost tower.db', () => {
  it.each([
    ['removed', (path: string) => rmSync(path)],
    ['emptied', (path: string) => writeFileSync(path, '')],
  ])('is not replaced by an empty one in silence: %s', async (_, damage) => {
    const { directory, open } = await audited();
    for (const name of ['tower.db-wal', 'tower.db-shm']) rmSync(join(directory, name), { force: true });
    damage(join(directory, 'tower.db'));
    await expect(open()).rejects.toMatchObject({ code: 'conflict' });
    await expect(open()).rejects.toMatchObject({ code: 'conflict' });
    rmSync(join(directory, 'audit-head.json'));
    await open();
  });

  it('is restored from a backup, even of the time before the first record', async () => {
    const { directory, config, secrets, open } = await audited();
    const backup = join(temporaryDirectory(), 'backup');
    const empty = temporaryDirectory();
    await migrateStore({ directory: empty, databaseUrl: undefined, connections: 1 });
    await storeCopies.backupStore({ directory: empty, databaseUrl: undefined, connections: 1 }, backup, '0', 0);
    for (const name of readdirSync(directory))
      if (name !== 'tower.key' && name !== 'audit-head.json') rmSync(join(directory, name), { recursive: true });
    await storeCopies.restoreStore(backup, placeOf(config, secrets));
    await open();
  });
});
